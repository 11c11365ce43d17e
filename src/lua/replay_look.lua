-- replay_look: a page of a stream, and what of it could run again.
-- KEYS: stream, note, dead
-- ARGV: group, first ID (as XRANGE takes it), last ID, how many at most, 1 = with the entries' pairs (then fewer, when they are large)
-- Answers: {last ID that was looked at ('' = there is none), {id, state, {field, value, ...}}, ...}
--          state 0 done, 1 pending, 2 its dead letter stands, 3 not delivered yet
-- Bounded: the rows, and a megabyte of payloads that are read for them.
-- Crash: nothing is written.
local delivered = '0-0'
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  if g.name == ARGV[1] then delivered = g['last-delivered-id'] end
end
-- part: less
local function state_of(id)
  if less(delivered, id) then return 3 end
  if #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) > 0 then return 1 end
  local note = redis.call('HGET', KEYS[2], id)
  local dead_id = note and string.match(note, '"dead_id":"(%d+%-%d+)"')
  if dead_id and #redis.call('XRANGE', KEYS[3], dead_id, dead_id) > 0 then return 2 end
  return 0
end

local out, first, most, slice, bytes = {''}, ARGV[2], tonumber(ARGV[4]), 1, 0
while #out - 1 < most and bytes < 1048576 do
  local rows = redis.call('XRANGE', KEYS[1], first, ARGV[3], 'COUNT', math.min(slice, most - #out + 1))
  if #rows == 0 then break end
  for i = 1, #rows do
    local pairs_of_it = rows[i][2]
    for j = 1, #pairs_of_it do bytes = bytes + #pairs_of_it[j] end
    out[#out + 1] = {rows[i][1], state_of(rows[i][1]), ARGV[5] == '1' and pairs_of_it or {}}
    out[1] = rows[i][1]
  end
  first = '(' .. out[1]
  slice = math.min(2 * slice, 64)
end
return out
