-- requeue: the original pairs of a dead letter become a new entry; the dead letter and its note are removed.
-- KEYS: stream, dead, note
-- ARGV: dead id
-- Answers: {0, new id} | {1} it is not there (any more) | {2} its pairs are gone | {3} more pairs than Lua can pass to a call:
--          the caller does it by MULTI
-- Crash: XADD is the first write; full memory refuses it before anything has changed.

-- How many of its fields are about it: xackd.meta = n, and n pairs. Anybody may have written there: what is not of this form has none.
local function about(f)
  local n = f[1] == 'xackd.meta' and tonumber(string.match(f[2], '^%d+$') or '')
  return n and 2 + 2 * n <= #f and 2 + 2 * n or 0
end
redis.call('XLEN', KEYS[1])
redis.call('HEXISTS', KEYS[3], '')
local letter = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])[1]
if not letter then return {1} end
local f = letter[2]
local first, id = about(f) + 1, nil
for i = 3, first - 1, 2 do
  if f[i] == 'xackd.id' then id = f[i + 1] end
end
if first > #f then return {2} end
if f[first] == 'xackd.packed' and #f == first + 1 then return {3} end
if #f - first > 7000 then return {3} end
local add = {'XADD', KEYS[1], '*'}
for i = first, #f do add[#add + 1] = f[i] end
add[#add + 1] = 'xackd.requeued-from'
add[#add + 1] = ARGV[1]
local new_id = redis.call(unpack(add))
redis.call('XDEL', KEYS[2], ARGV[1])
local note = id and redis.call('HGET', KEYS[3], id)
if note and string.find(note, '"dead_id":"' .. ARGV[1] .. '"', 1, true) then redis.call('HDEL', KEYS[3], id) end
return {0, new_id}
