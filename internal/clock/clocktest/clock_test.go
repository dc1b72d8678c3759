package clocktest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
)

func TestClockFollowsVirtualTime(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		c := clocktest.New()
		before := c.Now()
		fired := false
		stop := c.AfterFunc(time.Minute, func() { t.Error("fired although it was stopped") })
		if !stop() {
			t.Error("too late to stop")
		}
		c.AfterFunc(time.Second, func() { fired = true })
		time.Sleep(time.Second)
		synctest.Wait()
		after := c.Now()
		if after.Holder-before.Holder != int64(time.Second) || after.Unix-before.Unix != 1000 || c.Waiter() != int64(time.Second) || !fired {
			t.Fatalf("%+v, then %+v; waiter %d, fired %v", before, after, c.Waiter(), fired)
		}
		c.Suspend(time.Hour)
		if late := c.Now(); late.Holder-after.Holder != int64(time.Hour) || late.Unix != after.Unix || c.Waiter() != int64(time.Second) {
			t.Fatalf("%+v after a suspension", late)
		}
	})
}
