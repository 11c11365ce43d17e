-- promote: delayed entries that are due become entries of the stream.
-- KEYS: stream, later, later:data, promoted, note, dead
-- ARGV: group and host of the caller (of a dead letter), how many at most, how many bytes (the one that goes beyond is the last)
-- Answers: {now, ms until the next is due ('' = none; 0 or less: there are more), how many were promoted, an error that kept some from being
--           buried or '', {id, dead id, reason, detail}, ...}: those that became dead letters, for nobody can run them
-- promoted: "ID entry-ID", by which a delayed entry is found by its first ID, too: the latest 100,000, until a day after the last one.
-- Rows have what bytes they like as ID; only what looks like an ID is found by it.
-- Crash: each entry is added and removed in the same step. Reads that can fail, and right and type of what is removed, come before it is
-- added; what is not needed may be refused behind it.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local none = '\0xackd' -- nobody's ID: these writes do nothing, are refused by no full Redis, and show that the later ones will not be
redis.call('ZREM', KEYS[2], none)
redis.call('HDEL', KEYS[3], none)
local out = {text(now), '', 0, ''}
local DAY_S, KEPT = 86400, 100000

-- part: dead_add

local function is_id(id) return string.match(id, '^%d+%-%d+$') ~= nil end

local function remove(id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end

-- Names and values in turn, the map before them or {}; or nil and why not.
local function read(row)
  local ok, from, more = pcall(cmsgpack.unpack, row)
  if not ok or type(from) ~= 'table' or more ~= nil then return nil, nil, 'its data is no MessagePack array (of str: bin is not known here)' end
  local count, about, values = 0, {}, {}
  for _ in pairs(from) do count = count + 1 end
  local first = type(from[1]) == 'table' and 2 or 1
  if first == 2 then about = from[1] end
  for i = first, count do
    local value = from[i]
    if type(value) == 'number' and value % 1 == 0 and math.abs(value) < 2 ^ 53 then value = text(value) end
    if type(value) ~= 'string' then return nil, nil, 'its data is no array of names and values' end
    values[#values + 1] = value
  end
  if #values < 2 or #values % 2 == 1 then return nil, nil, 'its data has not as many names as values, or none' end
  if #values > 7000 then return nil, {'xackd.packed', cmsgpack.pack(values)}, 'it has more than 3500 fields' end
  return values, about
end

local function bury(id, reason, detail, left)
  local add = {'XADD', KEYS[6], '', 'xackd.meta', 8, 'xackd.id', id, 'xackd.stream', KEYS[1], 'xackd.group', ARGV[1], 'xackd.reason', reason,
    'xackd.detail', detail, 'xackd.attempts', '0', 'xackd.host', ARGV[2], 'xackd.at', text(now)}
  for i = 1, #left do add[#add + 1] = left[i] end
  local done, dead_id = pcall(dead_add, add)
  if not done then
    out[4] = type(dead_id) == 'table' and dead_id.err or tostring(dead_id)
    return 0
  end
  remove(id)
  if is_id(id) then
    redis.pcall('HSET', KEYS[5], id, '{"reason":"' .. reason .. '","at_ms":' .. text(now) .. ',"dead_id":"' .. dead_id .. '"}')
  end
  out[#out + 1] = {id, dead_id, reason, detail}
  return 1
end

local function tell(id, entry_id, about)
  if is_id(id) then redis.pcall('ZADD', KEYS[4], 0, id .. ' ' .. entry_id) end
  if type(about.once) ~= 'string' then return end
  local key = string.sub(KEYS[2], 1, -6) .. 'once:' .. about.once
  if redis.pcall('GET', key) == id then redis.pcall('SET', key, entry_id, 'KEEPTTL') end
end

local moved = 0
local function promote(id)
  local row = redis.call('HGET', KEYS[3], id)
  if not row then return bury(id, 'payload_gone', 'its data was deleted before it was due', {}) end
  local values, about, why = read(row)
  if not values then return bury(id, 'malformed', why, about or {'xackd.later', row}) end
  local entry_id = redis.call('XADD', KEYS[1], '*', unpack(values))
  remove(id)
  tell(id, entry_id, about)
  out[3] = out[3] + 1
  moved = moved + #row
  return 1
end

local stuck = 0
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now), 'LIMIT', 0, ARGV[3])
for i = 1, #ids do
  if moved < tonumber(ARGV[4]) then stuck = stuck + 1 - promote(ids[i]) end
end
if out[3] > 0 then
  redis.pcall('EXPIRE', KEYS[4], DAY_S)
  local size = redis.pcall('ZCARD', KEYS[4])
  local many = type(size) == 'number' and math.min(size - KEPT, 2 * out[3]) or 0
  local oldest = many > 0 and redis.pcall('ZRANGE', KEYS[4], 0, many - 1) or {}
  for i = 1, #oldest do redis.pcall('ZREM', KEYS[4], oldest[i]) end
end
local following = redis.call('ZRANGE', KEYS[2], stuck, stuck, 'WITHSCORES')
if #following == 2 and tonumber(following[2]) < 9e15 then out[2] = text(math.max(-9e15, tonumber(following[2]) - now)) end
return out
