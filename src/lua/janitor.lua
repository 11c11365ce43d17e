-- janitor: rows of given or note that belong to nothing any more: not pending, and no dead letter of theirs stands.
-- KEYS: stream, dead, the hash (given or note)
-- ARGV: group, cursor of HSCAN, about how many
-- Answers: {next cursor ('0' = the end), number removed}
-- Crash: each removal stands alone. Without the group nothing is removed: what is due is still to be put back by these rows.
local step = redis.call('HSCAN', KEYS[3], ARGV[2], 'COUNT', ARGV[3])
local rows, removed = step[2], 0
for i = 1, #rows, 2 do
  local id, keep = rows[i], false
  if string.match(id, '^%d+%-%d+$') then
    keep = #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) > 0
    local dead_id = not keep and string.match(rows[i + 1], '"dead_id":"(%d+%-%d+)"')
    if dead_id then keep = #redis.call('XRANGE', KEYS[2], dead_id, dead_id) > 0 end
  end
  if not keep then removed = removed + redis.call('HDEL', KEYS[3], id) end
end
return {step[1], removed}
