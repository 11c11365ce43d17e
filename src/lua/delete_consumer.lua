-- delete_consumer: a consumer that holds nothing and has been idle is deleted (DELCONSUMER drops what is pending: the look and
-- the deletion must be one step).
-- KEYS: stream
-- ARGV: group, consumer, idle for at least ms
-- Answers: 1 deleted, 0 there is none, -1 it holds something or was seen lately
-- Crash: one write.
local list = redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for i = 1, #list do
  local c = {}
  for j = 1, #list[i], 2 do c[list[i][j]] = list[i][j + 1] end
  if c.name == ARGV[2] then
    if c.pending > 0 or c.idle < tonumber(ARGV[3]) then return -1 end
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
