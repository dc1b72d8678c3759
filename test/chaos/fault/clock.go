package fault

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

var _ = register(
	Kind{Name: "clock-step", What: "step the wall clock of one process, forward or back; the machine's stays", Target: "a node, an invalidator or a warmer",
		With: map[string]string{"step": "45s"}, Inject: stepClock},
)

// A process asks for the time without entering the kernel: it calls a function
// that the kernel has mapped into it, the vDSO's. The function of one process can
// be replaced by one that asks the kernel and adds a number of seconds, so that
// no other process, and not the machine, sees another time.

// shifted is that function for amd64, clock_gettime(clock in edi, *timespec in
// rsi):
//
//	mov eax, 228; syscall          the kernel's answer
//	test edi, edi; jne +13         only CLOCK_REALTIME
//	movabs rcx, seconds
//	add [rsi], rcx
//	ret
func shifted(seconds int64) []byte {
	code := []byte{0xb8, 228, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 13, 0x48, 0xb9}
	code = binary.LittleEndian.AppendUint64(code, uint64(seconds))
	return append(code, 0x48, 0x01, 0x0e, 0xc3)
}

func stepClock(ctx context.Context, s Scene) (Injection, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Injection{}, fmt.Errorf("%w: the clock of one process can be stepped on linux/amd64 only", ErrNotHere)
	}
	step, err := s.duration("step")
	if err != nil {
		return Injection{}, err
	}
	pid := s.Fleet.Pid(s.Target)
	at, err := clockFunction(pid)
	if err != nil {
		return Injection{}, err
	}
	code := shifted(int64(step / time.Second))
	was, err := patch(ctx, s.Fleet, s.Target, pid, at, code)
	if err != nil {
		return Injection{}, err
	}
	in := Injection{What: fmt.Sprintf("stepped its wall clock by %v", step), Heal: func(ctx context.Context) error {
		if s.Fleet.Pid(s.Target) != pid {
			return nil // another life has its own
		}
		if _, err := patch(ctx, s.Fleet, s.Target, pid, at, was); err != nil {
			return err
		}
		return s.Fleet.Await(ctx, s.Target)
	}}
	shown, err := s.Fleet.Clock(ctx, s.Target)
	if err != nil {
		return in, err
	}
	ahead := time.Until(shown).Round(time.Second)
	if off := ahead - step; off < -5*time.Second || off > 5*time.Second {
		return in, fmt.Errorf("%w: it is %v ahead of ours", ErrNoEffect, ahead)
	}
	in.Proof = fmt.Sprintf("the Date of its answers is %v ahead of ours", ahead)
	return in, nil
}

// clockFunction finds where a process's clock_gettime lies.
func clockFunction(pid int) (uint64, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		from, to, _ := strings.Cut(strings.Fields(line)[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		image, err := memory(pid, begin, int(end-begin), nil)
		if err != nil {
			return 0, err
		}
		file, err := elf.NewFile(bytes.NewReader(image))
		if err != nil {
			return 0, err
		}
		symbols, err := file.DynamicSymbols()
		if err != nil {
			return 0, err
		}
		for _, sym := range symbols {
			if sym.Name == "__vdso_clock_gettime" {
				return begin + sym.Value, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: process %d has no vDSO with a clock", ErrNotHere, pid)
}

// memory reads n bytes of a process's memory, and writes others in their place
// unless text is nil.
func memory(pid int, at uint64, n int, text []byte) ([]byte, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	defer f.Close()
	was := make([]byte, n)
	if _, err := f.ReadAt(was, int64(at)); err != nil {
		return nil, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	if text != nil {
		if _, err := f.WriteAt(text, int64(at)); err != nil {
			return nil, fmt.Errorf("write the memory of process %d: %w", pid, err)
		}
	}
	return was, nil
}

// patch replaces code of a process while it is stopped and no thread of it is in
// there; it returns what was there before.
func patch(ctx context.Context, f *fleet.Fleet, name string, pid int, at uint64, code []byte) (was []byte, err error) {
	err = eventually(ctx, 10*time.Second, func() (err error) {
		if err := f.Pause(ctx, name); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Resume(name)) }()
		if err := outside(pid, at, at+uint64(len(code))); err != nil {
			return err
		}
		was, err = memory(pid, at, len(code), code)
		return err
	})
	return was, err
}

// outside returns nil if no thread of a stopped process is between two
// addresses.
func outside(pid int, from, to uint64) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil || len(threads) == 0 {
		return fmt.Errorf("no threads of process %d: %v", pid, err)
	}
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fields := strings.Fields(string(text))
		pc, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil {
			return fmt.Errorf("%s says %q", file, text)
		}
		if pc >= from && pc < to {
			return fmt.Errorf("%s: a thread is in the clock's code", file)
		}
	}
	return nil
}
