-- take: KEYS = base of the purpose; ARGV = key. Gives payload and expiry.
local expiries, values = KEYS[1] .. 'e', KEYS[1] .. 'v'
local expiry = redis.call('ZSCORE', expiries, ARGV[1])
if not expiry then return false end
local payload = redis.call('HGET', values, ARGV[1])
redis.call('ZREM', expiries, ARGV[1])
redis.call('HDEL', values, ARGV[1])
return { payload, expiry }
