-- put_back: after the group was made again, a worker puts back the entry that it runs. That the group is another one shows in this
-- consumer's name: whoever read an entry from a group is a consumer of it. Where the name is still there, an entry that is
-- not pending was acknowledged, and stays so.
-- KEYS: stream, due
-- ARGV: group, consumer, id, delivery
-- Answers: 1 put back, 0 it is pending already, was acknowledged, was never delivered to this group (it will be), or was deleted
-- Crash: one write.
local function less_number(x, y)
  if #x ~= #y then return #x < #y end
  return x < y
end
local function less(x, y)
  local a, b = string.match(x, '^(%d+)-(%d+)$')
  local c, d = string.match(y, '^(%d+)-(%d+)$')
  if a ~= c then return less_number(a, c) end
  return b ~= d and less_number(b, d)
end
local function pending(id)
  return redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
end
if pending(ARGV[3]) then return 0 end
local consumers = redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for i = 1, #consumers do
  for j = 1, #consumers[i], 2 do
    if consumers[i][j] == 'name' and consumers[i][j + 1] == ARGV[2] then return 0 end
  end
end
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  if g.name == ARGV[1] then
    if less(g['last-delivered-id'], ARGV[3]) then return 0 end
    local put = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4], 'FORCE', 'JUSTID')
    if #put == 0 then return 0 end
    redis.call('ZREM', KEYS[2], ARGV[3])
    return 1
  end
end
return 0
