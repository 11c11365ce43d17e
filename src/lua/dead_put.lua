-- dead_put: a dead letter is written by an operator: in the place of another one (edit), or brought from elsewhere (import).
-- KEYS: dead, note
-- ARGV: 'edit' or 'import', the dead id that it had, the entry's id ('' = not known), number of pairs about it (xackd.meta too),
--       these names and values, then the entry's own
-- Answers: {0, dead id} written | {1, dead id} edit: it is not there (any more); import: it is there already
-- An entry has one dead letter: its note names it, and is how a second import is told. Where the entry is not known, the dead
-- id that it had stands in for it. More than 3,500 pairs are kept as one, as in bury.
-- Crash: XADD is the first write; full memory refuses it before anything has changed.

-- How many of its fields are about it: xackd.meta = n, and n pairs. Anybody may have written there: what is not of this form has none.
local function about(f)
  local n = f[1] == 'xackd.meta' and tonumber(string.match(f[2], '^%d+$') or '')
  return n and 2 + 2 * n <= #f and 2 + 2 * n or 0
end
redis.call('XLEN', KEYS[1])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local old, id = ARGV[2], ARGV[3]
local row = redis.call('XRANGE', KEYS[1], old, old)[1]
local key = id ~= '' and id or old
local note = redis.call('HGET', KEYS[2], key)
local named = string.match(note or '', '"dead_id":"(%d+%-%d+)"')
if ARGV[1] == 'edit' then
  if not row then return {1, ''} end
else
  if row then
    local f, same = row[2], id == ''
    for i = 3, about(f), 2 do
      if f[i] == 'xackd.id' and f[i + 1] == id then same = true end
    end
    if same then return {1, old} end
  end
  if named and #redis.call('XRANGE', KEYS[1], named, named) > 0 then return {1, named} end
end

-- part: dead_add

local first = 5 + 2 * tonumber(ARGV[4])
local own = {}
for i = first, #ARGV do own[#own + 1] = ARGV[i] end
if #own > 7000 then own = {'xackd.packed', cmsgpack.pack(own)} end
local add = {'XADD', KEYS[1], old}
for i = 5, first - 1 do add[#add + 1] = ARGV[i] end
for i = 1, #own do add[#add + 1] = own[i] end
-- A stream only grows at its end: the ID that it had can be kept where nothing younger was there. Nor one of the future, behind which
-- no dead letter could be written any more.
local new = ARGV[1] == 'import' and tonumber(string.match(old, '^%d+')) <= now and redis.pcall(unpack(add))
if type(new) ~= 'string' then new = dead_add(add) end
if ARGV[1] == 'edit' then
  redis.call('XDEL', KEYS[1], old)
  if named == old then
    redis.call('HSET', KEYS[2], key, (string.gsub(note, '"dead_id":"[%d%-]+"', '"dead_id":"' .. new .. '"')))
  end
  return {0, new}
end
if named then
  note = string.gsub(note, '"dead_id":"[%d%-]+"', '"dead_id":"' .. new .. '"')
elseif note and string.match(note, '^{.+}$') then
  note = string.sub(note, 1, -2) .. ',"dead_id":"' .. new .. '"}'
else
  note = '{"dead_id":"' .. new .. '"}'
end
redis.call('HSET', KEYS[2], key, note)
return {0, new}
