package storetest_test

import (
	"testing"

	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) (snapshot.Store, snapshot.Store) {
		m := &storetest.Memory{}
		return m, m
	})
}
