-- deposit: KEYS = base of the purpose; ARGV = key; sealed payload; expiry; most; now.
local expiries, values = KEYS[1] .. 'e', KEYS[1] .. 'v'
local key, payload, expiry, most, now = unpack(ARGV)
local function is_full() return redis.call('ZCARD', expiries) >= tonumber(most) end

local held = redis.call('ZSCORE', expiries, key)
if held and tonumber(held) > tonumber(now) then return 'exists' end
if not held and is_full() then
  -- A few at a time: a deposit needs one place, and the sweep does the rest.
  for _, expired in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, 64)) do
    redis.call('ZREM', expiries, expired)
    redis.call('HDEL', values, expired)
  end
  if is_full() then return 'full' end
end
redis.call('ZADD', expiries, expiry, key)
redis.call('HSET', values, key, payload)
return 'done'
