"""How many instances a service should have: policies, schedules and hands change a group's desired capacity, purely.

`policies` is what the file asks for, `group` what is kept of a group, `seconds` and `history` what was measured,
`decide` the decision. The same code runs in the daemon and in `fairlead simulate`.
"""
