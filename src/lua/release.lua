-- release: deliveries that were never run (a surplus entry, an answer lost on the way) are given back, many at once. The
-- delivery number stays, it only ever grows; `given` counts what does not count.
-- KEYS: stream, due, given, note, dead
-- ARGV: group, consumer, host, delay in ms, name of the parking consumer, then id, delivery of each
-- Answers: how many left the consumer's name; a deleted entry does so as a dead letter payload_gone
-- Crash: atomic for others; what was given back answers nothing the second time, since the owner is another then.
redis.call('ZREM', KEYS[2], '')
redis.call('HEXISTS', KEYS[4], '')
local t, n = redis.call('TIME'), 0
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(v) return string.format('%.0f', v) end
local due = text(now + tonumber(ARGV[4]))

-- part: dead_add
-- part: bury_gone

for i = 6, #ARGV, 2 do
  local id = ARGV[i]
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  if p and p[2] == ARGV[2] and p[4] == tonumber(ARGV[i + 1]) then
    local given = tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0
    if #redis.call('XRANGE', KEYS[1], id, id) == 0 then
      bury_gone(id, p[4], given, math.max(0, p[4] - 1 - given), ARGV[1], ARGV[3], 'it was pending')
    else
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[5], 0, id, 'JUSTID')
      redis.call('HINCRBY', KEYS[3], id, 1)
      redis.call('ZADD', KEYS[2], due, id)
    end
    n = n + 1
  end
end
return n
