-- due_suspended: entries that a suspended job had put back (note reason spawn) are due now.
-- KEYS: due, note
-- ARGV: horizon in ms (what is due later was not put back by a suspension), how many at most
-- Answers: {number made due, more 0|1, now}
-- Crash: each row stands alone; called again it goes on.
redis.call('ZREM', KEYS[1], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local most, changed, looked, offset = tonumber(ARGV[2]), 0, 0, 0
local more = 0
while true do
  local rows = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now), text(now + tonumber(ARGV[1])), 'LIMIT', offset, 500)
  if #rows == 0 then break end
  for i = 1, #rows do
    local note = redis.call('HGET', KEYS[2], rows[i])
    if note and string.find(note, '"reason":"spawn"', 1, true) then
      redis.call('ZADD', KEYS[1], text(now), rows[i])
      changed = changed + 1
    else
      offset = offset + 1
    end
  end
  looked = looked + #rows
  if changed >= most or looked >= 5 * most then
    more = changed > 0 and 1 or 0
    break
  end
end
return {changed, more, text(now)}
