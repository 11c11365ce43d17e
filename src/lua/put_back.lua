-- put_back: after the group was made again, what a worker holds is put back, in one call. That the group is another one shows in this
-- consumer's name: whoever read an entry from a group is a consumer of it. Where the name is still there, an entry that is
-- not pending was acknowledged, and stays so; unless the caller knows that it is another group (its host made the name in it).
-- KEYS: stream, due
-- ARGV: group, consumer, name of the parking consumer, known to be another group 0|1, then id, delivery of each
-- Answers: how many were put back; none of those that are pending already, were acknowledged, were never delivered to this group
--          (they will be), or were deleted. One that had been taken stands under the parking consumer (group): it is claimed from there.
-- Crash: one step for others. Each has a row in due as after take, so that it is found should this group be destroyed, too.
redis.call('ZREM', KEYS[2], '')
-- part: less
local consumers = redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for i = 1, #consumers do
  for j = 1, #consumers[i], 2 do
    if ARGV[4] ~= '1' and consumers[i][j] == 'name' and consumers[i][j + 1] == ARGV[2] then return 0 end
  end
end
local last = '0-0'
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  if g.name == ARGV[1] then last = g['last-delivered-id'] end
end
local n = 0
for i = 5, #ARGV, 2 do
  local id, delivery = ARGV[i], tonumber(ARGV[i + 1])
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  local mine = not p or (p[2] == ARGV[3] and p[4] <= delivery)
  if mine and not less(last, id) then
    local put = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', ARGV[i + 1], 'FORCE', 'JUSTID')
    if #put > 0 then
      redis.call('ZADD', KEYS[2], '9e15', id)
      n = n + 1
    end
  end
end
return n
