package exhaustive

// scope is what one search lets happen.
type scope struct {
	name string
	// change is what the writer does: fenceKey, fenceTag or put, with concern
	// everywhere after its commit; or intentKey or intentTag, a bracket around it.
	change kind

	ticks  int8
	pulses [2]uint8 // of each node, beyond its first
	// loads says which nodes load; joins, whether readers join their loads.
	loads [2]bool
	joins bool
	// shared: what is loaded goes to the shared tier.
	shared bool
	// strong: the second node answers a strong read.
	strong bool
	// crash: the second node has a disk, dies once at any time and comes back.
	crash bool
	// shortcut: pulses may be proved by their acknowledgement.
	shortcut bool
	// turns: a reader of the second node may wait for the first one's load.
	turns bool
	// resolver: the second node may end a bracket in the writer's stead.
	resolver bool
}

// without is a remedy that a variant of the machine lacks.
type without uint8

const (
	sound without = iota
	checkAtInsert
	checkAtJoin
	checkWhoJoined
	leaseAtJoin
	birthKept
	birthBeforeLoad
	verdictOnShared
	applyBeforeAck
	membersOfTheLog
	leaseWait
	leaseAtRead
	leaseFromStart
	ownPulse
	joinGate
	tiersBeforeApplied
	everywhereInBracket
	commitBeforeEnd
	bypassUnkept
	bypassUnshared
	markBeforeEnd
	pulseBehindLast
	needAtTurn
	tagsAtTurn
	leaseAtTurn
)
