package fleet

import (
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process does not end with a thread of the harness: which one asked for it
// must not matter.
func TestProcessOutlivesTheThreadThatAskedForIt(t *testing.T) {
	dir := t.TempDir()
	var asked sync.WaitGroup
	var all []*program
	var met sync.WaitGroup
	met.Add(3)
	for i := range 3 { // on threads of their own, of which one may be the first, which never ends
		name := strconv.Itoa(i)
		p := &program{name: name, path: "/bin/sleep", args: []string{"60"}, dir: dir, log: filepath.Join(dir, name)}
		all = append(all, p)
		asked.Go(func() {
			runtime.LockOSThread() // and the thread ends with this function
			if err := p.start(); err != nil {
				t.Error(err)
			}
			met.Done()
			met.Wait()
		})
	}
	asked.Wait()
	time.Sleep(300 * time.Millisecond)
	for _, p := range all {
		p.end(syscall.SIGKILL, time.Second)
		if len(p.deaths) > 0 {
			t.Error(p.deaths)
		}
	}
}
