-- renew: the lease of an entry that is still mine begins anew; never takes one back.
-- KEYS: stream, due, then, where it runs in a slot of a job with limits, running
-- ARGV: group, consumer, id, delivery, lease in ms
-- Answers: {code, deleted 0|1, now}; code 0 renewed, 1 another's by now, 2 not pending
-- XCLAIM would purge the row of a deleted entry without a trace. Such a row is left alone: a due time of now + lease says that
-- its owner lives (the sweep respects it, take ignores it until it has passed).
-- Crash: the slot is renewed before the lease; either may stand alone.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not p then return {2, 0, text(now)} end
if p[2] ~= ARGV[2] or p[4] ~= tonumber(ARGV[4]) then return {1, 0, text(now)} end
if KEYS[3] then
  redis.call('ZADD', KEYS[3], text(now + tonumber(ARGV[5])), ARGV[2])
  redis.call('EXPIRE', KEYS[3], text(math.ceil(tonumber(ARGV[5]) / 1000) + 86400))
end
if #redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3]) == 0 then
  redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[5])), ARGV[3])
  return {0, 1, text(now)}
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return {0, 0, text(now)}
