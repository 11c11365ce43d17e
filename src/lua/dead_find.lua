-- dead_find: the dead letter of an entry: by its note, or, where that was deleted, by a bounded look from an ID on.
-- KEYS: dead, note
-- ARGV: id, look from this dead ID on ('' = do not look), rows at most
-- Answers: {dead id or '', where to look on ('' = the end was reached)}
-- Crash: nothing is written.

-- How many of its fields are about it: xackd.meta = n, and n pairs. Anybody may have written there: what is not of this form has none.
local function about(f)
  local n = f[1] == 'xackd.meta' and tonumber(string.match(f[2], '^%d+$') or '')
  return n and 2 + 2 * n <= #f and 2 + 2 * n or 0
end
local note = redis.call('HGET', KEYS[2], ARGV[1])
local dead_id = string.match(note or '', '"dead_id":"(%d+%-%d+)"')
if dead_id and #redis.call('XRANGE', KEYS[1], dead_id, dead_id) > 0 then return {dead_id, ''} end
if ARGV[2] == '' then return {'', ''} end
local rows = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
for i = 1, #rows do
  local f = rows[i][2]
  for j = 3, about(f), 2 do
    if f[j] == 'xackd.id' and f[j + 1] == ARGV[1] then return {rows[i][1], ''} end
  end
end
return {'', #rows == tonumber(ARGV[3]) and '(' .. rows[#rows][1] or ''}
