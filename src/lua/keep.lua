-- keep: successes that a plain XACK settles, with their results: each entry is acknowledged and its result kept in one step.
-- KEYS: stream, then the result key of each entry that has a result, in their order
-- ARGV: group, then for each entry its id and how long its result is kept in ms (0: it has none), behind that the result
-- Answers: for each entry 0 not pending (nothing was done), 1 acknowledged, or, acknowledged without its result, why
-- The result goes first, so that a full Redis can refuse it: whatever keeps it from being written does not keep the success from
-- counting, hence pcall. A result without its acknowledgement is taken back.
-- Crash: one atomic step; sent again it answers 0 for each, and leaves the results as they are.
local answers, key, arg = {}, 2, 2
while ARGV[arg] do
  local id, ttl = ARGV[arg], ARGV[arg + 1]
  local result_key = ttl ~= '0' and KEYS[key]
  local row = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  local pending = row and row[4] < 1024 -- else it was replayed since: that is another life of it (replay_step)
  local kept = pending and result_key and redis.pcall('SET', result_key, ARGV[arg + 2], 'PX', ttl)
  if pending then
    local acked = redis.pcall('XACK', KEYS[1], ARGV[1], id)
    if type(acked) == 'table' then
      if result_key then redis.pcall('SET', result_key, '', 'PX', 1) end
      return acked
    end
  end
  answers[#answers + 1] = not pending and 0 or kept and kept.err or 1
  key, arg = key + (result_key and 1 or 0), arg + (result_key and 3 or 2)
end
return answers
