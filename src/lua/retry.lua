-- retry: a parked entry is due now.
-- KEYS: stream, due
-- ARGV: group, id, name of the parking consumer
-- Answers: 1 done, 0 it is not parked
-- Crash: one write.
redis.call('ZREM', KEYS[2], '')
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)[1]
if not p or p[2] ~= ARGV[3] then return 0 end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), ARGV[2])
return 1
