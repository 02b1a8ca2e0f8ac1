-- What a listener does with a request is an action now, a rule has conditions, and a target group's attributes are one
-- value (store/conversions.py).

UPDATE stacks SET record = to_0003(record);
UPDATE decisions SET snapshot = to_0003(snapshot), plan = to_0003(plan);
