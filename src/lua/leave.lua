-- leave: a worker's run of a job with limits is over: its slot comes free, and the first entry that waits for one is due.
-- KEYS: due, running
-- ARGV: consumer, score under which the job's entries wait, how many are made due
-- Answers: how many were made due
-- Crash: called again, and after the worker was recovered, it does no harm.
redis.call('ZREM', KEYS[1], '')
redis.call('ZREM', KEYS[2], ARGV[1])
local band = tonumber(ARGV[2])
local ids = tonumber(ARGV[3]) > 0 and
  redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], string.format('%.0f', band + 1), 'LIMIT', 0, ARGV[3]) or {}
local t = redis.call('TIME')
for i = 1, #ids do redis.call('ZADD', KEYS[1], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), ids[i]) end
return #ids
