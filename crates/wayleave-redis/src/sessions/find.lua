-- find: KEYS = base; ARGV = 't', 'i' or 'r'; what is looked for; slot; prefix, for 'i'.
local base = KEYS[1]
local by, name, slot, prefix = unpack(ARGV)
local id = name
if by == 't' then id = redis.call('GET', base .. 't:' .. name) end
if by == 'r' then id = by_refresh(base, name, slot) end
if not id then return false end
local held = redis.call('HMGET', base .. 's:' .. id, 'slot', 'pre')
if held[1] ~= slot or (by == 'i' and held[2] ~= prefix) then return false end
return answer(base, id)
