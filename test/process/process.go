// Package process starts real servers for tests: redis-server (Debian's
// package) and nats-server (built from the module that go.mod pins), each on a
// free loopback port with its data in a directory of the test's, and ends them
// by their own process id.
//
// A server that can't be found fails the test: a check that is left out
// silently is a check that cannot fail.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running server. Its methods are for the test's goroutine.
type Process struct {
	t    testing.TB
	name string
	args []string
	dir  string
	as   *syscall.Credential // nil: as this process
	cmd  *exec.Cmd
	out  *lockedBuffer
	done chan struct{}
}

// start runs name with args in dir and arranges for its end at the test's end.
func start(t testing.TB, dir, name string, args ...string) *Process {
	t.Helper()
	return startAs(t, nil, dir, name, args...)
}

// startAs is start as another user.
func startAs(t testing.TB, as *syscall.Credential, dir, name string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, name: name, args: args, dir: dir, as: as, out: &lockedBuffer{}}
	p.spawn()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s %v said:\n%s", name, args, p.out)
		}
	})
	return p
}

func (p *Process) spawn() {
	p.t.Helper()
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Dir = p.dir
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// The server must not outlive a test that was killed itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: p.as}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // how it ended is the test's doing
		close(done)
	}(p.cmd, p.done)
}

// Kill ends the process at once (SIGKILL) and waits for its end. Killing a
// dead process does nothing.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop asks the process to end (SIGTERM) and waits for it.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

func (p *Process) end(sig syscall.Signal) {
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a paused process can't end
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Restart starts the process again, with the same arguments and data, after it
// was ended.
func (p *Process) Restart() {
	p.t.Helper()
	select {
	case <-p.done:
	default:
		p.t.Fatalf("restart %s: it still runs", p.name)
	}
	p.spawn()
}

// Pause stops the process in its tracks (SIGSTOP); Resume lets it go on. It
// returns once every thread has stopped: the signal takes a moment to reach all.
func (p *Process) Pause() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	p.waitFor("stop of all threads", func() error { return Stopped(p.Pid()) })
}

// Stopped returns nil once every thread of a process has stopped, and otherwise
// which has not, as /proc tells.
func Stopped(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return fmt.Errorf("no threads of process %d: %v", pid, err)
	}
	for _, file := range threads {
		stat, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		// The state follows the name, which is in parentheses and may hold any.
		if _, state, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " "); !strings.HasPrefix(state, "T") {
			return fmt.Errorf("thread %s still runs", file)
		}
	}
	return nil
}

// Resume lets a paused process go on.
func (p *Process) Resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// Pid returns the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Output returns what the process printed so far.
func (p *Process) Output() string { return p.out.String() }

// waitFor polls probe until it succeeds, the process ends or 15 s have passed.
func (p *Process) waitFor(what string, probe func() error) {
	p.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		err := probe()
		if err == nil {
			return
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended before %s; it said:\n%s", p.name, what, p.out)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: no %s within 15s: %v; it said:\n%s", p.name, what, err, p.out)
		}
	}
}

// FreePort is [PickPort] for a test.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := PickPort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// PickPort returns a loopback TCP port that was free a moment ago. It lies below
// the range that outgoing connections draw theirs from: otherwise a stranger's
// connection could take the port of a server that is down for a moment, and a
// client that dials it again and again could connect to itself.
func PickPort() (int, error) {
	const low, high = 10_000, 32_000
	for range 1000 {
		port := low + rand.IntN(high-low)
		if _, again := handedOut.LoadOrStore(port, true); again {
			continue
		}
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		l.Close()
		return port, nil
	}
	return 0, errors.New("find a free port: 1000 attempts failed")
}

// handedOut holds the ports that this process gave away, by port.
var handedOut sync.Map

// binary is [Locate] for a test.
func binary(t testing.TB, env, name, hint string) string {
	t.Helper()
	path, err := Locate(env, name, hint)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// LocateRedis returns the path of redis-server; REDIS_SERVER names another one.
func LocateRedis() (string, error) { return Locate("REDIS_SERVER", "redis-server", redisHint) }

const redisHint = "install Debian's package redis-server"

// Locate finds an executable, in the environment variable env or on the path, and
// says by hint how to get it if there is none.
func Locate(env, name, hint string) (string, error) {
	if path := os.Getenv(env); path != "" {
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed (%w): %s, or name one in %s", name, err, hint, env)
	}
	return path, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
