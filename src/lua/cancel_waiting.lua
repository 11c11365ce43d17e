-- cancel_waiting: an entry that was never delivered becomes a dead letter and leaves the stream, so that nobody is given it any more.
-- KEYS: stream, note, dead
-- ARGV: group, id, number of meta pairs, meta name and value, ...
-- Answers: {0, dead id} | {1, ''} it is not there, or was delivered | {2, name} that group has not finished it either: nothing was done
-- The stream is all groups': what another one has still to be given, or holds, stays.
-- Crash: XADD is the first write; full memory refuses it before anything has changed.
redis.call('XLEN', KEYS[1])
redis.call('HEXISTS', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local group, id = ARGV[1], ARGV[2]
-- part: less

local e = redis.call('XRANGE', KEYS[1], id, id)[1]
if not e then return {1, ''} end
local waits, other = false, nil
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  local ahead = less(g['last-delivered-id'], e[1])
  local held = redis.call('XPENDING', KEYS[1], g.name, e[1], e[1], 1)[1]
  if g.name == group then
    waits = ahead and not held
  elseif ahead or held then
    other = g.name
  end
end
if not waits then return {1, ''} end
if other then return {2, other} end

-- part: dead_add

local own = e[2]
if #own > 7000 then own = {'xackd.packed', cmsgpack.pack(own)} end
local add = {'XADD', KEYS[3], '', 'xackd.meta', text(tonumber(ARGV[3]) + 4), 'xackd.id', e[1], 'xackd.stream', KEYS[1], 'xackd.group', group}
for i = 4, 3 + 2 * tonumber(ARGV[3]) do add[#add + 1] = ARGV[i] end
add[#add + 1] = 'xackd.at'
add[#add + 1] = text(now)
for i = 1, #own do add[#add + 1] = own[i] end
local dead_id = dead_add(add)
redis.call('HSET', KEYS[2], e[1], '{"reason":"cancelled","at_ms":' .. text(now) .. ',"dead_id":"' .. dead_id .. '"}')
redis.call('XDEL', KEYS[1], e[1])
return {0, dead_id}
