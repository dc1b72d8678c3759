package logtest

import (
	"testing"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
)

// Harness is one log under test and what an adversary does to it. No follower
// runs while Trim, Save or what Save returned is called, unless a test says so.
type Harness struct {
	// Log is the log under test.
	Log events.Log
	// Another returns one more client of the same log.
	Another func(t *testing.T) events.Log
	// Close closes Log and waits for what goes on in its background.
	Close func()
	// Foreign stores a message that was not published through the port.
	Foreign func(t *testing.T, data []byte)
	// Trim drops all records before first.
	Trim func(t *testing.T, first events.Position)
	// Lose makes a hole in the log: the records from first to last are gone. It
	// may give those that are left other times.
	Lose func(t *testing.T, first, last events.Position)
	// Recreate deletes the log and makes it again, empty.
	Recreate func(t *testing.T)
	// Save returns a function that brings the log's present state back.
	Save func(t *testing.T) (restore func(t *testing.T))
	// Mute lets the server answer nothing until unmute is called.
	Mute func(t *testing.T) (unmute func())
}

// Run runs the suite. Each test opens a harness of its own; its log may begin
// with records that the test did not publish.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// RunVirtual runs the suite in virtual time, each test in a bubble of package
// synctest. It is for logs without a server.
func RunVirtual(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			clocktest.Bubble(t, func(t *testing.T) { c.run(t, open(t)) })
		})
	}
}

var cases = []struct {
	name string
	run  func(*testing.T, Harness)
}{
	{"PublishedRecordsArriveInOrder", testOrder},
	{"RepublishLandsOnce", testRepublish},
	{"IndeterminateLandsOnce", testIndeterminate},
	{"NextLandsBehindTheLastOnly", testNext},
	{"EndedContextDoesNotLand", testEndedContext},
	{"TooLargeDoesNotLand", testTooLarge},
	{"LargestRecordLands", testLargest},
	{"ConcurrentPublishersShareOneOrder", testConcurrent},
	{"FollowFromMark", testFromMark},
	{"FollowBacklogInBatches", testBacklog},
	{"FollowLive", testLive},
	{"ReadARange", testRead},
	{"ReadPastATrimIsAGap", testReadGap},
	{"ForeignMessageIsDelivered", testForeign},
	{"SinkErrorEndsFollow", testSinkError},
	{"ContextEndsFollow", testContextEnds},
	{"CloseEndsAll", testClose},
	{"GapAfterTrim", testGap},
	{"GapWhereMarkItselfIsTrimmed", testGapAtMark},
	{"TrimBehindMarkIsNoGap", testTrimBehind},
	{"HoleIsAGap", testHole},
	{"HoleAtTheMarkIsAGap", testHoleAtMark},
	{"FollowBehindAPlace", testBehind},
	{"RecreatedShorterIsNoticed", testRecreatedShorter},
	{"RecreatedLongerIsNoticed", testRecreatedLonger},
	{"RecreatedUnderFollowerIsNoticed", testRecreatedLive},
	{"RolledBackIsNoticed", testRolledBack},
	{"RolledBackAndWrittenOnIsNoticed", testDiverged},
	{"RolledBackUnderFollowerIsNoticed", testRolledBackLive},
	{"RollbackBehindMarkGoesUnnoticed", testRollbackBehind},
	{"OtherMarkIsNoticed", testOtherMark},
}
