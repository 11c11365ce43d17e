-- purge: a dead letter is removed, and the note that spoke of it.
-- KEYS: dead, note
-- ARGV: dead id
-- Answers: 1 removed, 0 it is not there
-- Crash: a note without its dead letter is found by the janitor.

-- How many of its fields are about it: xackd.meta = n, and n pairs. Anybody may have written there: what is not of this form has none.
local function about(f)
  local n = f[1] == 'xackd.meta' and tonumber(string.match(f[2], '^%d+$') or '')
  return n and 2 + 2 * n <= #f and 2 + 2 * n or 0
end
redis.call('HEXISTS', KEYS[2], '')
local letter = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not letter then return 0 end
local f = letter[2]
redis.call('XDEL', KEYS[1], ARGV[1])
for i = 3, about(f), 2 do
  if f[i] == 'xackd.id' then
    local note = redis.call('HGET', KEYS[2], f[i + 1])
    if note and string.find(note, '"dead_id":"' .. ARGV[1] .. '"', 1, true) then redis.call('HDEL', KEYS[2], f[i + 1]) end
    return 1
  end
end
return 1
