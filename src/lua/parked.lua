-- parked: a page of what has a due time, in the order of it (9e15 is none: the entry was taken).
-- KEYS: stream, due, given, note
-- ARGV: group, offset, how many
-- Answers: {now, {id, due, delivery (0 = not pending any more), given, note or ''}, ...}
-- Crash: nothing is written.
local t = redis.call('TIME')
local out = {string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))}
local rows = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(9e15', 'WITHSCORES', 'LIMIT', ARGV[2], ARGV[3])
for i = 1, #rows, 2 do
  local id = rows[i]
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  out[#out + 1] = {id, string.format('%.0f', tonumber(rows[i + 1])), p and p[4] or 0,
    tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0, redis.call('HGET', KEYS[4], id) or ''}
end
return out
