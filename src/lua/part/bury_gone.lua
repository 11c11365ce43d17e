-- What was deleted while it was pending becomes a dead letter without its pairs. Gives its ID. Needs dead_add.
-- KEYS: stream, due, given, note, dead
local function bury_gone(id, delivery, given, attempts, group, host, how)
  local dead_id = dead_add({'XADD', KEYS[5], '', 'xackd.meta', 8, 'xackd.id', id, 'xackd.stream', KEYS[1], 'xackd.group', group,
    'xackd.reason', 'payload_gone', 'xackd.detail', 'the entry was deleted while ' .. how,
    'xackd.attempts', text(attempts), 'xackd.host', host, 'xackd.at', text(now)})
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('HSET', KEYS[4], id, '{"reason":"payload_gone","at_ms":' .. text(now) .. ',"delivery":' .. text(delivery) ..
    ',"given":' .. text(given) .. ',"dead_id":"' .. dead_id .. '"}')
  redis.call('XACK', KEYS[1], group, id)
  return dead_id
end
