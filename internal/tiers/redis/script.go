package redis

import (
	goredis "github.com/redis/go-redis/v9"
)

// putScript stores an entry unless a newer birth is there.
//
// KEYS[1] the name
// ARGV[1] the first two bytes of an entry (magic, format)
// ARGV[2] epoch, 8 bytes as in the entry
// ARGV[3] birth, 16 hexadecimal digits
// ARGV[4] the entry
// ARGV[5] time to live in milliseconds; 0: for ever; empty: only remove what
// is older
//
// Births are compared as text: Lua's numbers are doubles, for which 2^53 and
// 2^53+1 are one. A stored entry holds its birth little-endian at offset 16.
// What is not an entry of this epoch has no birth and gives way, or a damaged
// one could bar its name for ever.
//
// The answer is 1, or 0 if a newer birth is there. It is safe to run twice.
const putText = `
local head = redis.pcall('GETRANGE', KEYS[1], 0, 23)
if type(head) == 'string' and #head == 24
	and string.sub(head, 1, 2) == ARGV[1] and string.sub(head, 9, 16) == ARGV[2] then
	local a, b, c, d, e, f, g, h = string.byte(head, 17, 24)
	local birth = string.format('%02x%02x%02x%02x%02x%02x%02x%02x', h, g, f, e, d, c, b, a)
	if birth > ARGV[3] then
		return 0
	end
end
if ARGV[5] == '' then
	redis.call('UNLINK', KEYS[1])
	return 1
end
local done
if ARGV[5] == '0' then
	done = redis.pcall('SET', KEYS[1], ARGV[4])
else
	done = redis.pcall('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
end
if done.err then
	redis.call('UNLINK', KEYS[1])
	return done
end
return 1
`

// raiseText raises the witness; see [Tier.RaiseWitness].
//
// KEYS[1] the name
// ARGV[1] the witness that the caller has compared, ARGV[2] the new one, each 16
// digits of epoch, 16 of position, 32 of digest
//
// The answer is the witness that is stored afterwards.
const raiseText = `
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and #held == 64 and not string.find(held, '[^0-9a-f]') then
	local epoch, position = string.sub(held, 1, 16), string.sub(held, 17, 32)
	if epoch == string.sub(ARGV[2], 1, 16) and position >= string.sub(ARGV[2], 17, 32) then
		return held
	end
	if epoch ~= string.sub(ARGV[1], 1, 16) or position >= string.sub(ARGV[1], 17, 32) and held ~= ARGV[1] then
		return held
	end
end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
`

var (
	putSHA   = goredis.NewScript(putText).Hash()
	raiseSHA = goredis.NewScript(raiseText).Hash()
)
