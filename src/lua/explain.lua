-- explain: where an entry is now.
-- KEYS: stream, due, given, note, dead, paused, later, later:data, promoted
-- ARGV: group, id
-- Answers: {pending 0|1, consumer, idle, delivery, given, due or '', note or '', dead id that stands or '', in the stream 0|1,
--           later 0|1, paused 0|1, last delivered id or '', was it ever here 0|1, now, {field, value, ...},
--           '' or the ID that it got as an entry of the stream, when it was delayed: ask again with that}
-- Crash: nothing is changed. (ZADD XX INCR 0 asks for a score in a way that the documented minimal rights allow.)
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local id = ARGV[2]
-- part: less
local function score(key)
  local s = redis.pcall('ZADD', key, 'XX', 'INCR', 0, id)
  return s and not s.err and tonumber(s) < 9e15 and string.format('%.0f', tonumber(s)) or '' -- 9e15: it was taken
end

local out = {0, '', -1, 0, tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0, '', redis.call('HGET', KEYS[4], id) or '', '', 0, 0,
  redis.call('EXISTS', KEYS[6]), '', 0, string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), {}, ''}
out[6] = score(KEYS[2])
local later = score(KEYS[7])
local row = redis.pcall('HGET', KEYS[8], id)
if later ~= '' or type(row) == 'string' then
  out[6] = later ~= '' and later or out[6]
  out[10] = 1
  local ok, from = pcall(cmsgpack.unpack, type(row) == 'string' and row or '')
  for i = ok and type(from) == 'table' and type(from[1]) == 'table' and 2 or 1, ok and type(from) == 'table' and #from or 0 do
    table.insert(out[15], tostring(from[i]))
  end
  if #out[15] % 2 == 1 then out[15] = {} end
else
  local was = redis.pcall('ZRANGE', KEYS[9], '[' .. id .. ' ', '(' .. id .. '!', 'BYLEX', 'LIMIT', 0, 1)
  if was[1] then out[16] = string.match(was[1], ' (%d+%-%d+)$') or '' end
end
local dead_id = string.match(out[7], '"dead_id":"(%d+%-%d+)"')
if dead_id and #redis.call('XRANGE', KEYS[5], dead_id, dead_id) > 0 then out[8] = dead_id end
if redis.call('EXISTS', KEYS[1]) == 0 then return out end

local e = redis.call('XRANGE', KEYS[1], id, id)[1]
if e then
  out[9] = 1
  out[15] = e[2]
end
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  if g.name == ARGV[1] then
    out[12] = g['last-delivered-id']
    local p = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
    if p then
      out[1] = 1
      out[2] = p[2]
      out[3] = p[3]
      out[4] = p[4]
    end
  end
end

-- An ID above everything that was deleted, not below the first entry, and not there, never was.
local info, s = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for j = 1, #info, 2 do s[info[j]] = info[j + 1] end
out[13] = less(s['last-generated-id'], id) and 0 or 1
if not e and s['entries-added'] and s['entries-added'] == s['length'] then out[13] = 0 end -- nothing was ever removed
local first, deleted = s['recorded-first-entry-id'], s['max-deleted-entry-id']
if out[13] == 1 and not e and first and deleted and first ~= '0-0' and not less(id, first) and less(deleted, id) then out[13] = 0 end
return out
