-- cancel_later: a delayed entry becomes a dead letter and will not become an entry of the stream.
-- KEYS: stream, later, later:data, note, dead
-- ARGV: group, id, 1 = also when other groups of the stream would be given it, number of meta pairs, meta name and value, ...
-- Answers: {0, dead id} | {1, ''} it is not there (any more) | {2, name} that group would be given it, too: nothing was done
-- The key that lets it be added once only goes, too, if it is this entry's.
-- Crash: XADD is the first write; full memory refuses it before anything has changed.
redis.call('HEXISTS', KEYS[4], '')
redis.call('ZCARD', KEYS[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local group, id = ARGV[1], ARGV[2]

local row = redis.call('HGET', KEYS[3], id)
if not row then return {1, ''} end
if ARGV[3] ~= '1' and redis.call('EXISTS', KEYS[1]) == 1 then
  local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
  for i = 1, #groups do
    for j = 1, #groups[i], 2 do
      if groups[i][j] == 'name' and groups[i][j + 1] ~= group then return {2, groups[i][j + 1]} end
    end
  end
end

-- part: dead_add

local own, about = {}, {}
local ok, from = pcall(cmsgpack.unpack, row)
if ok and type(from) == 'table' then
  if type(from[1]) == 'table' then about = table.remove(from, 1) end
  for i = 1, #from do own[i] = tostring(from[i]) end
end
if #own == 0 or #own % 2 == 1 then own = {'xackd.later', row} end
if #own > 7000 then own = {'xackd.packed', cmsgpack.pack(own)} end
local add = {'XADD', KEYS[5], '', 'xackd.meta', text(tonumber(ARGV[4]) + 4), 'xackd.id', id, 'xackd.stream', KEYS[1], 'xackd.group', group}
for i = 5, 4 + 2 * tonumber(ARGV[4]) do add[#add + 1] = ARGV[i] end
add[#add + 1] = 'xackd.at'
add[#add + 1] = text(now)
for i = 1, #own do add[#add + 1] = own[i] end
local dead_id = dead_add(add)
redis.call('HDEL', KEYS[3], id)
redis.call('ZREM', KEYS[2], id)
redis.call('HSET', KEYS[4], id, '{"reason":"cancelled","at_ms":' .. text(now) .. ',"dead_id":"' .. dead_id .. '"}')
if type(about.once) == 'string' then
  local key = string.sub(KEYS[2], 1, -6) .. 'once:' .. about.once
  if redis.pcall('GET', key) == id then redis.pcall('EXPIRE', key, 0) end
end
return {0, dead_id}
