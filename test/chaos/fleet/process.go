package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/raptorflow/tercet/test/chaos/wire"
	"github.com/raptorflow/tercet/test/process"
)

// program is one process of the fleet over its lives. Its methods are safe for
// concurrent use; one life begins after the last has ended.
type program struct {
	name string
	kind Kind
	http string
	log  string
	host *wire.Host // nil: loopback

	mu   sync.Mutex
	path string
	args []string
	env  []string // beside the harness's own
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
	// wanted says that the harness ended it; anybody else's end is a death.
	wanted bool
	deaths []string
}

// start begins a life.
func (p *program) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alive() {
		return fmt.Errorf("start %s: it still runs", p.name)
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.Env = append(environment(), p.env...)
	// It must not outlive a harness that was killed itself, nor end by a
	// person's interrupt before the harness has ended it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	begin := parent
	if p.host != nil {
		begin = p.host.Do
	}
	if err := begin(cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.wanted = cmd, done, false
	go p.watch(cmd, done)
	return nil
}

// parent calls fn on a thread that ends with the harness and not earlier. What a
// process is killed with is the end of the thread that started it, and threads
// end that have been in a namespace.
func parent(fn func() error) error {
	done := make(chan error, 1)
	beginnings() <- func() { done <- fn() }
	return <-done
}

var beginnings = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for fn := range calls {
			fn()
		}
	}()
	return calls
})

// environment is the harness's own, without the settings of Tercet that a person
// may have there.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TERCET_") })
}

// watch waits for the end of a life and notes one that nobody asked for.
func (p *program) watch(cmd *exec.Cmd, done chan struct{}) {
	_ = cmd.Wait() // the state tells
	p.mu.Lock()
	if !p.wanted {
		p.deaths = append(p.deaths, fmt.Sprintf("%s (pid %d) ended by itself: %v; see %s", p.name, cmd.Process.Pid, cmd.ProcessState, p.log))
	}
	p.mu.Unlock()
	close(done)
}

// alive is for those who hold mu.
func (p *program) alive() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// end sends sig and waits for the end; after patience it kills. It returns the
// life's id, 0 if there was none.
func (p *program) end(sig syscall.Signal, patience time.Duration) int {
	p.mu.Lock()
	if !p.alive() {
		p.mu.Unlock()
		return 0
	}
	p.wanted = true
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	_ = cmd.Process.Signal(sig)
	if sig != syscall.SIGKILL {
		_ = cmd.Process.Signal(syscall.SIGCONT) // a stopped process can't end
	}
	select {
	case <-done:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-done
	}
	return cmd.Process.Pid
}

func (p *program) kill() int { return p.end(syscall.SIGKILL, 10*time.Second) }
func (p *program) stop() int { return p.end(syscall.SIGTERM, 20*time.Second) }

func (p *program) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive() {
		return 0
	}
	return p.cmd.Process.Pid
}

// pause stops every thread; it returns once all have stopped.
func (p *program) pause(ctx context.Context) error {
	pid := p.pid()
	if pid == 0 {
		return fmt.Errorf("pause %s: it does not run", p.name)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause %s: %w", p.name, err)
	}
	return await(ctx, 5*time.Second, func() error { return process.Stopped(pid) })
}

func (p *program) resume() error {
	pid := p.pid()
	if pid == 0 {
		return nil // a killed process is not paused any more
	}
	return syscall.Kill(pid, syscall.SIGCONT)
}

// await polls probe until it succeeds, patience is over or ctx is done.
func await(ctx context.Context, patience time.Duration, probe func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// newProgram describes a process; its log lies in the fleet's directory.
func (f *Fleet) newProgram(name string, kind Kind, path string, args ...string) *program {
	p := &program{
		name: name, kind: kind, path: path, args: args,
		dir: filepath.Join(f.config.Dir, name), log: filepath.Join(f.config.Dir, name+".log"),
	}
	f.programs = append(f.programs, p)
	return p
}
