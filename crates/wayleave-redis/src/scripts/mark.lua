-- Stands after the scripts that write, in `work`, where a replica is to acknowledge them. Since Redis 7.2, WAIT waits for
-- the connection's last write: one that found nothing left to do would pass with an older one, and what it rests on (a
-- session that is gone already) might be on no replica. So it writes a mark: last, because a full server refuses the
-- first write of a script, and only that, and beginning with a command that it never refuses.
local answer, mark = work(), base .. 'mark'
if redis.call('PEXPIRE', mark, 86400000) == 0 then redis.call('SET', mark, '', 'PX', 86400000) end
return answer
