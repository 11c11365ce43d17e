-- janitor: rows of given or note that belong to nothing any more: not pending, and no dead letter of theirs stands; and rows of due
-- that say of an entry that it was taken, when somebody else has acknowledged it since.
-- KEYS: stream, dead, the hash (given or note), due
-- ARGV: group, cursor of HSCAN, about how many
-- Answers: {next cursor ('0' = the end), number removed}
-- Crash: each removal stands alone. Without the group nothing is removed: what is due is still to be put back by these rows.

-- Anybody may have written into these keys: what is no ID of an entry there would make every command refuse it, and so this script, for ever.
local function is_id(text)
  local ms, seq = string.match(text, '^(%d+)-(%d+)$')
  local function fits(n) return #n < 20 or #n == 20 and n <= '18446744073709551615' end
  return ms and fits(ms) and fits(seq)
end
local step = redis.call('HSCAN', KEYS[3], ARGV[2], 'COUNT', ARGV[3])
local rows, removed = step[2], 0
for i = 1, #rows, 2 do
  local id, keep = rows[i], false
  if is_id(id) then
    keep = #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) > 0
    local dead_id = not keep and string.match(rows[i + 1], '"dead_id":"(%d+%-%d+)"')
    if dead_id and is_id(dead_id) then keep = #redis.call('XRANGE', KEYS[2], dead_id, dead_id) > 0 end
  end
  if not keep then removed = removed + redis.call('HDEL', KEYS[3], id) end
end
-- Far more than are ever in the hands of workers are not looked at from the beginning each time.
local taken = redis.call('ZCOUNT', KEYS[4], '9e15', '+inf')
local from = taken > 100 and redis.call('TIME')[2] % (taken - 99) or 0
local ids = redis.call('ZRANGEBYSCORE', KEYS[4], '9e15', '+inf', 'LIMIT', from, 100)
for i = 1, #ids do
  local taken_now = is_id(ids[i]) and #redis.call('XPENDING', KEYS[1], ARGV[1], ids[i], ids[i], 1) > 0
  if not taken_now then removed = removed + redis.call('ZREM', KEYS[4], ids[i]) end
end
return {step[1], removed}
