-- touch: KEYS = base; ARGV = five for each: id, prefix, slot, seen, idle. As `Activity::moved_forward`.
local base = KEYS[1]
local written = 0
for at = 1, #ARGV, 5 do
  local id, prefix, slot, seen, idle = unpack(ARGV, at, at + 4)
  local key = base .. 's:' .. id
  local held = hash(key)
  if held and held.pre == prefix and held.slot == slot and is_whole(held) and not held.exp then
    local was = held.idle
    if held.idle and given(idle) then
      held.idle = later(held.idle, idle)
    elseif not held.idle or tonumber(seen) > tonumber(held.seen) then
      held.idle = nil
    end
    held.seen = later(held.seen, seen)
    redis.call('HSET', key, 'seen', held.seen)
    if held.idle ~= was then
      if held.idle then redis.call('HSET', key, 'idle', held.idle) else redis.call('HDEL', key, 'idle') end
      note_end(base, id, held)
    end
    written = written + 1
  end
end
return written
