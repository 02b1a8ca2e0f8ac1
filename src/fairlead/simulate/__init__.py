"""A policy tried before the traffic comes: the daemon's own decisions over a load, on a virtual clock.

`grammar` and `recorded` say what arrives (`load`), `app` what an instance can do, `flow` what becomes of the requests
of a second, `world` holds the instances that plans launch and retire, `run` goes through it second by second, `result`
is what is told of it. What decides is `core.scaling` and `core.reconcile`, as in the daemon. Nothing here reads a
clock, a file or a socket: the command line does (`cli.simulate`).
"""
