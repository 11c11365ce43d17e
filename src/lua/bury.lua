-- bury: an entry of mine becomes a dead letter: its copy is written and it is acknowledged, in one step.
-- KEYS: stream, due, given, note, dead
-- ARGV: group, consumer, id, delivery, cap (0 = none), note ('' = none), where its pairs are, number of meta pairs,
--       meta name and value, ..., then (only with 'sent') the entry's names and values
--       pairs: 'stream' = read them there; 'sent' = they follow (the entry was deleted, its worker still has them);
--       'none' = as 'stream', but do without them if they are gone
-- Answers: {code, owner, delivery, '0', dead id, dropped by the cap, now}; code 0 buried, 1 owner has it (nothing was done),
--          2 not pending, 3 the entry was deleted and its pairs are needed (nothing was done)
-- The dead letter: xackd.meta = n, then n pairs about it, then the entry's own, as many and in the order they had. More than
-- 3,500 pairs are kept as one, xackd.packed (MessagePack): Lua cannot pass more than about 8,000 values to a call.
-- Crash: keys of a wrong type are refused before the copy is written; the XACK comes last. Sent again it answers 2.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local group, id = ARGV[1], ARGV[3]
local p = redis.call('XPENDING', KEYS[1], group, id, id, 1)[1]
if not p then return {2, '', 0, '0', '', 0, text(now)} end
if p[2] ~= ARGV[2] or p[4] ~= tonumber(ARGV[4]) then return {1, p[2], p[4], '0', '', 0, text(now)} end

local count = tonumber(ARGV[8])
local first = 9 + 2 * count
local pairs_of_it = {}
if ARGV[7] == 'sent' then
  for i = first, #ARGV do pairs_of_it[#pairs_of_it + 1] = ARGV[i] end
else
  local e = redis.call('XRANGE', KEYS[1], id, id)[1]
  if not e and ARGV[7] ~= 'none' then return {3, '', 0, '0', '', 0, text(now)} end
  if e then pairs_of_it = e[2] end
end
if #pairs_of_it > 7000 then pairs_of_it = {'xackd.packed', cmsgpack.pack(pairs_of_it)} end
local given = tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0
redis.call('HEXISTS', KEYS[4], id)

-- part: dead_add

local add = {'XADD', KEYS[5], '', 'xackd.meta', text(count + 4), 'xackd.id', id, 'xackd.stream', KEYS[1], 'xackd.group', group}
for i = 9, first - 1 do add[#add + 1] = ARGV[i] end
add[#add + 1] = 'xackd.at'
add[#add + 1] = text(now)
for i = 1, #pairs_of_it do add[#add + 1] = pairs_of_it[i] end
local dead_id = dead_add(add)
redis.call('ZREM', KEYS[2], id)
redis.call('HDEL', KEYS[3], id)
local inner = string.sub(ARGV[6], 2, -2)
redis.call('HSET', KEYS[4], id, '{' .. inner .. (inner == '' and '' or ',') .. '"at_ms":' .. text(now) .. ',"delivery":' .. ARGV[4] ..
  ',"given":' .. text(given) .. ',"dead_id":"' .. dead_id .. '"}')
redis.call('XACK', KEYS[1], group, id)

-- The cap: the notes of the dropped go with them; of a great many at once the janitor finds what is left.
local dropped = 0
local over = ARGV[5] == '0' and 0 or redis.call('XLEN', KEYS[5]) - tonumber(ARGV[5])
if over > 0 then
  local old = redis.call('XRANGE', KEYS[5], '-', '+', 'COUNT', math.min(over, 100))
  for i = 1, #old do
    local f = old[i][2]
    for j = 3, 2 + 2 * (tonumber(f[2]) or 0), 2 do
      if f[j] == 'xackd.id' then
        local note = redis.call('HGET', KEYS[4], f[j + 1])
        if note and string.find(note, '"dead_id":"' .. old[i][1] .. '"', 1, true) then redis.call('HDEL', KEYS[4], f[j + 1]) end
        break
      end
    end
  end
  dropped = redis.call('XTRIM', KEYS[5], 'MAXLEN', ARGV[5])
end
return {0, '', 0, '0', dead_id, dropped, text(now)}
