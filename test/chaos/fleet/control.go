package fleet

import (
	"context"
	"fmt"
	"path/filepath"
)

// Pid returns a process's id; 0: it does not run.
func (f *Fleet) Pid(name string) int {
	p, err := f.program(name)
	if err != nil {
		return 0
	}
	return p.pid()
}

// Down reports whether name is a process of the fleet that does not run now.
func (f *Fleet) Down(name string) bool {
	p, err := f.program(name)
	return err == nil && p.pid() == 0
}

// Data is the directory of a process's data.
func (f *Fleet) Data(name string) string { return filepath.Join(f.config.Dir, name, "data") }

// Log is the file that a process writes to.
func (f *Fleet) Log(name string) string { return filepath.Join(f.config.Dir, name+".log") }

// Kill ends a process at once (SIGKILL) and returns its id; 0: it did not run.
func (f *Fleet) Kill(name string) (int, error) {
	p, err := f.program(name)
	if err != nil {
		return 0, err
	}
	return p.kill(), nil
}

// Stop asks a process to end, and waits.
func (f *Fleet) Stop(name string) (int, error) {
	p, err := f.program(name)
	if err != nil {
		return 0, err
	}
	return p.stop(), nil
}

// Start starts a process that was ended, with the same data.
func (f *Fleet) Start(name string) error {
	p, err := f.program(name)
	if err != nil {
		return err
	}
	return p.start()
}

// Pause stops all threads of a process (SIGSTOP); Resume lets them go on.
func (f *Fleet) Pause(ctx context.Context, name string) error {
	p, err := f.program(name)
	if err != nil {
		return err
	}
	return p.pause(ctx)
}

// Resume lets a paused process go on. A process that was ended meanwhile stays so.
func (f *Fleet) Resume(name string) error {
	p, err := f.program(name)
	if err != nil {
		return err
	}
	return p.resume()
}

// Await waits until a process does what it is for: a member is ready, Redis
// answers, all of NATS stores.
func (f *Fleet) Await(ctx context.Context, name string) error {
	p, err := f.program(name)
	if err != nil {
		return err
	}
	switch p.kind {
	case NATS:
		return f.AwaitNATS(ctx)
	case Redis:
		return f.AwaitRedis(ctx, name)
	case Sentinel:
		return nil
	}
	return f.AwaitReady(ctx, name)
}

// Change has a process's next lives run the program of the same name in the
// directory binaries (empty: as before) with more environment.
func (f *Fleet) Change(name, binaries string, env ...string) (undo func(), err error) {
	p, err := f.program(name)
	if err != nil {
		return nil, err
	}
	if binaries != "" {
		if binaries, err = filepath.Abs(binaries); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	path, was := p.path, p.env
	if binaries != "" {
		p.path = filepath.Join(binaries, filepath.Base(p.path))
	}
	p.env = append(append([]string(nil), was...), env...)
	return func() {
		p.mu.Lock()
		p.path, p.env = path, was
		p.mu.Unlock()
	}, nil
}

// Binaries is the directory of the build that the fleet was started with.
func (f *Fleet) Binaries() string { return f.config.Bin }

// Runs reports whether a process's next life runs the build in the directory
// binaries.
func (f *Fleet) Runs(name, binaries string) (bool, error) {
	p, err := f.program(name)
	if err != nil {
		return false, err
	}
	if binaries, err = filepath.Abs(binaries); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return filepath.Dir(p.path) == binaries, nil
}

// KillAll ends several processes at once, so that none sees another end.
func (f *Fleet) KillAll(names []string) error {
	ended := make(chan error, len(names))
	for _, name := range names {
		go func() {
			_, err := f.Kill(name)
			ended <- err
		}()
	}
	for range names {
		if err := <-ended; err != nil {
			return fmt.Errorf("kill all: %w", err)
		}
	}
	return nil
}
