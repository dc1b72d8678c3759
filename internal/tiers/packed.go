package tiers

// AppendPlace appends everything that e says besides its payload and its
// checksum: what a sealed payload is bound to, so that under another key, with
// another birth or with other tags it does not open.
func (e Entry) AppendPlace(dst []byte) []byte {
	dst = append(dst, e[:4]...)
	return append(dst, e[crcFrom:e.payloadAt()]...)
}

// Packed reports whether e's payload is packed.
func (e Entry) Packed() bool { return Flags(e[2])&FlagPacked != 0 }

// Shell returns a new entry with e's header and room for n bytes of payload,
// which the caller appends before it calls [Entry.Close]. Its payload is to be
// packed or plain, as packed says.
func (e Entry) Shell(packed Flags, n int) Entry {
	at := e.payloadAt()
	shell := append(make(Entry, 0, at+n), e[:at]...)
	shell[2] = byte(Flags(shell[2])&^FlagPacked | packed&FlagPacked)
	return shell
}

// Close seals e with the checksum of what it holds now.
func (e Entry) Close() Entry {
	e.seal()
	return e
}

// LooksPacked reports whether b, which is not parsed, begins as a packed entry
// of this format does.
func LooksPacked(b []byte) bool {
	return len(b) >= fixedLen && b[0] == magic && b[1] == format && Flags(b[2])&FlagPacked != 0
}
