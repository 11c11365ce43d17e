-- newest: how many entries the group is done with, and what is said about the newest dead letters (not the entries' own pairs):
-- read once, then only what is new.
-- KEYS: stream, dead
-- ARGV: group, the newest dead ID that is known already ('' = none), how many there were then, rows at most
-- Answers: {done: delivered and not pending any more (-1 = cannot be told), dead letters,
--           1 = the rows stand in the place of what is known | 0 = they come on top of it, {dead id, {name, value, ...}}, ...},
--           the newest first
-- Crash: nothing is written.
local count = redis.call('XLEN', KEYS[2])
local done = -1
if redis.call('EXISTS', KEYS[1]) == 1 then
  local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
  for i = 1, #groups do
    local g = {}
    for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
    local read = g['last-delivered-id'] == '0-0' and 0 or g['entries-read']
    if g.name == ARGV[1] and type(read) == 'number' then done = math.max(-1, read - g.pending) end
  end
end

local known = tonumber(ARGV[3]) or 0
local most = tonumber(ARGV[4])
if ARGV[2] ~= '' and count == known then return {done, count, 0} end
local anew = ARGV[2] == '' and 1 or 0
local rows = redis.call('XREVRANGE', KEYS[2], '+', anew == 1 and '-' or '(' .. ARGV[2], 'COUNT', most)
if anew == 0 and known + #rows ~= count then
  -- Some were removed meanwhile, or more came than were read.
  anew = 1
  rows = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', most)
end
local out = {done, count, anew}
for i = 1, #rows do
  local from = rows[i][2]
  local about = {}
  if from[1] == 'xackd.meta' then
    for j = 3, math.min(2 + 2 * (tonumber(from[2]) or 0), #from, 100) do about[#about + 1] = from[j] end
  end
  out[#out + 1] = {rows[i][1], about}
end
return out
