// Package directory keeps snapshots' objects as files. An object is written
// beside its place, synced, and moved there, so that a process that is killed, or
// power that fails, leaves it whole or not at all.
//
// Several processes may share a directory, over a network file system too if
// that moves files atomically. Files that somebody who was killed left half
// written are removed by [New] and [Store.Sweep], a day later.
package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/snapshot"
)

// Store is a directory.
type Store struct{ root string }

var (
	_ snapshot.Store   = (*Store)(nil)
	_ snapshot.Sweeper = (*Store)(nil)
)

// New returns the store in root, which it makes if it is missing.
func New(root string) (*Store, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("open snapshot directory: %w", err)
	}
	s := &Store{root: root}
	_, err := s.Sweep(context.Background(), "", time.Now().Add(-snapshot.Unfinished))
	return s, err
}

// unfinished begins the names of files that are being written.
const unfinished = ".writing-"

// Sweep implements [snapshot.Sweeper].
func (s *Store) Sweep(_ context.Context, prefix string, before time.Time) (swept int, err error) {
	err = s.walk(func(path, name string, e fs.DirEntry) error {
		if !strings.HasPrefix(e.Name(), unfinished) || !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) {
			return nil // gone, or somebody is writing it
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		swept++
		return nil
	})
	return swept, err
}

// walk calls fn with every file: its path, and its name as an object.
func (s *Store) walk(fn func(path, name string, e fs.DirEntry) error) error {
	return filepath.WalkDir(s.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(s.root, path)
		if err != nil {
			return err
		}
		return fn(path, filepath.ToSlash(name), e)
	})
}

func (s *Store) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(filepath.Base(name), unfinished) {
		return "", fmt.Errorf("%w object name %q", events.ErrInvalid, name)
	}
	return filepath.Join(s.root, filepath.FromSlash(name)), nil
}

// Put implements [snapshot.Store].
func (s *Store) Put(_ context.Context, name string, r io.Reader) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, unfinished+"*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return s.settle(dir)
}

// settle makes the names in dir, and dir's own, survive a power loss.
func (s *Store) settle(dir string) error {
	for _, d := range []string{dir, s.root} {
		f, err := os.Open(d)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Get implements [snapshot.Store].
func (s *Store) Get(_ context.Context, name string) (io.ReadCloser, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, snapshot.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// List implements [snapshot.Store].
func (s *Store) List(_ context.Context, prefix string) ([]string, error) {
	var names []string
	err := s.walk(func(_, name string, e fs.DirEntry) error {
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(e.Name(), unfinished) {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// Remove implements [snapshot.Store].
func (s *Store) Remove(_ context.Context, name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.settle(filepath.Dir(path))
}
