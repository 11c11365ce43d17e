-- trim: the oldest entries of a stream go as a rule says, but none that any group of the stream, whoever's it is, has not
-- acknowledged: what is pending in a group, or was not delivered to it yet, stays, and all that is behind it.
-- KEYS: stream, the mark that the group was made again
-- ARGV: rule (acked, age, maxlen), its value (age in ms, entries to be kept), entries at most, ID behind which those that would go
--       are only counted ('' = they go), group, other groups that must be there, ...
-- Answers: {0, entries that went or were counted, more 0|1, length, floor, now, held back 0|1, group that gave the floor,
--          why (pending, waiting), its consumer, idle ms, where to count on}
--          | {1, group}: it is not there, so nobody knows what it needs | {2, group}: it was made again less than a lease ago, and
--          what its workers run may not have been put back yet. In both cases nothing was done.
-- The floor is the first ID that may be unacknowledged. Held back: an entry that the rule lets go stays because of that group.
-- Bounded: about 2 ms, or the entries at most. Whole nodes of the stream go first, as these cost next to nothing; then the rest of
-- one node. Payloads are only read within a node.
-- Crash: looking and trimming is one step for others; each trimmed entry stands alone. Memory that is full refuses nothing here.
local rule, value, most, cursor, group = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- Where the time stands still within a script (Redis 7.2) there is a clock of another kind.
local clock = rawget(_G, 'os') and rawget(_G, 'os').clock
local function seconds()
  if clock then return clock() end
  local at = redis.call('TIME')
  return at[1] % 1000000 + at[2] / 1000000
end
local began = seconds()
local function tired() return seconds() - began > 0.002 end
local function text(n) return string.format('%.0f', n) end
-- part: less
-- 64 bits are more than a number has here: the digits themselves are counted up.
local function plus_one(n)
  local i = #n
  while i > 0 and string.sub(n, i, i) == '9' do i = i - 1 end
  local zeros = string.rep('0', #n - i)
  if i == 0 then return '1' .. zeros end
  return string.sub(n, 1, i - 1) .. string.char(string.byte(n, i) + 1) .. zeros
end
local function next_id(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  if number == '18446744073709551615' then return plus_one(ms) .. '-0' end
  return ms .. '-' .. plus_one(number)
end

-- What a group still needs begins here.
local function floor_of(g)
  local first = redis.call('XPENDING', KEYS[1], g.name, '-', '+', 1)[1]
  local ahead = next_id(g['last-delivered-id'])
  if first and less(first[1], ahead) then return {first[1], g.name, 'pending', first[2], first[3]} end
  return {ahead, g.name, 'waiting', '', -1}
end

local there, lowest, delivered = {}, nil, nil
local made_again = string.sub(KEYS[2], 1, #KEYS[2] - #(group .. ':remade'))
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then
  if string.find(groups.err, 'no such key', 1, true) then return {1, group} end
  return groups
end
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  there[g.name] = true
  if redis.call('EXISTS', made_again .. g.name .. ':remade') == 1 then return {2, g.name} end
  local floor = floor_of(g)
  if g.name == group then delivered = next_id(g['last-delivered-id']) end
  if not lowest or less(floor[1], lowest[1]) or (floor[1] == lowest[1] and g.name == group) then lowest = floor end
end
for i = 5, #ARGV do
  if not there[ARGV[i]] then return {1, ARGV[i]} end
end

local length = redis.call('XLEN', KEYS[1])
local floor, wanted = lowest[1], delivered
if rule == 'age' then
  wanted = text(math.max(0, now - value)) .. '-0'
elseif rule == 'maxlen' then
  most = math.min(most, math.max(0, length - value))
  wanted = nil
end
local last = wanted and less(wanted, floor) and wanted or floor

-- Entries below `last`, in one node: those that are read lie together in one that may not go as a whole.
local function partly(left)
  left = math.min(left, 100)
  local rows = redis.call('XRANGE', KEYS[1], '-', '(' .. last, 'COUNT', left + 1)
  if #rows == 0 then return 0 end
  return redis.call('XTRIM', KEYS[1], 'MINID', #rows > left and rows[left + 1][1] or last)
end
local function whole(limit) return redis.call('XTRIM', KEYS[1], 'MINID', '~', last, 'LIMIT', limit) end

local n, more = 0, 0
if last == '0-0' or length == 0 then
  most = 0
elseif cursor == '' then
  while n < most do
    local left = most - n
    local went = whole(math.min(100, left))
    if went == 0 then went = whole(left) end
    if went == 0 then went = partly(left) end
    if went == 0 then break end
    n = n + went
    if tired() then
      more = 1
      break
    end
  end
else
  while n < most do
    local rows = redis.call('XRANGE', KEYS[1], cursor == '-' and '-' or '(' .. cursor, '(' .. last, 'COUNT', math.min(100, most - n))
    if #rows == 0 then break end
    n = n + #rows
    cursor = rows[#rows][1]
    if tired() then
      more = 1
      break
    end
  end
end
if n > 0 and n == tonumber(ARGV[3]) then more = 1 end
if cursor == '' then length = length - n end

local held = 0
if length > 0 then
  if rule == 'maxlen' then -- not known before the end
    held = more == 0 and length - (cursor == '' and 0 or n) > value and 1 or 0
  elseif less(floor, wanted) then -- what this group itself holds, which is no news, is not read: it may be large
    local own = lowest[2] == group and lowest[3] == 'pending'
    held = (own or #redis.call('XRANGE', KEYS[1], floor, '(' .. wanted, 'COUNT', 1) > 0) and 1 or 0
  end
end
return {0, n, more, length, floor, text(now), held, lowest[2], lowest[3], lowest[4], lowest[5], cursor}
