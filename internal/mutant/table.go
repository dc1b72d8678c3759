package mutant

// Fault is one deliberate fault. Its text is its name.
type Fault uint8

// The faults; [All] says what each does, and what it attacks.
const (
	// None is no fault.
	None Fault = iota
	NoCheckAtInsert
	NoBroadCheckAtInsert
	NoBroadCheckAtRead
	GuardOneTooLow
	FenceLeavesCopy
	RefusedSetKeepsOld
	YoungSurvives
	MainDroppedFirst
	ResizeForgetsFences
	ExpiryFollowsWall
	SealIgnoresPlace
	UnsealedServed
	BombsInflate
	DiskFillUnchecked
	BirthOneTooHigh
	BirthOneTooLow
	EpochIgnored
	HorizonIgnored
	FloorNotRaised
	SoftBroadIgnored
	SoftKeyIgnored
	StaleIsAlive
	GapWithoutHorizon
	HoleEndsBrackets
	UndecodableSkipped
	UnknownChangeSkipped
	UnreadSourceIgnored
	ReadOutlivesRestart
	FewEpochsRemembered
	PruneWithoutHorizon
	BroadFencesForgotten
	KeyFencesNotKept
	BracketsForgotten
	IntentWithoutFence
	EndWithoutFence
	UnknownEndIgnored
	BypassIgnoresTags
	BracketsHarmless
	DivergenceIgnored
	FirstIsLast
	EpochKeepsMembers
	EpochStaysSettled
	EpochIgnoresPlace
	DigestOfLastOnly
	TokenIgnored
	TokenEpochIgnored
	UnknownEpochServed
	TokenStandsStill
	StrongByClock
	BoundIgnored
	NoLease
	UnmarkedStale
	ConflictsJoined
	LeaseWaitWithoutDrift
	LeaseWaitOneSided
	GapIgnored
	HoleMetAgain
	IdentityIgnored
	AttachBehindLast
	ShorterLogIgnored
	DriftIgnored
	LeftIsNotLanded
	EventAckedUnfenced
	TraceEndsAtRules
	EverythingGlobTaken
	EventUnstoredAccepted
	ParkedRuleLands
	ParkedEventDropped
	LimitNotShared
	SettledUnfenced
	CoalescedAckedEarly
	DuplicateById
	DuplicateBeforeFence
	OutboxForgetsEarly
	OutboxRowDroppedEarly
	AppliedBeforeApply
	AckBeforeDisk
	ConfirmationUnwanted
	BaseByNumber
	AckByNumber
	AckOfAnyEpoch
	PulseAheadOfTiers
	PulseAckUnproven
	VersionIgnored
	FenceOnlyPutIgnored
	ForeignEntryTaken
	GuardSinceIgnored
	BirthAfterLoad
	NestedKeepsBirth
	NestedDropsTags
	JoinOldLoad
	JoinIgnoresToken
	JoinIgnoresTags
	JoinUnderLapsedLease
	CopiesOutrunWitness
	SkipJoinGate
	ServeAfterLeave
	LeaseFromReceipt
	AnyRecordIsPulse
	SharePulseAlreadySent
	PulsesNotVoided
	OtherLeaseChecked
	LateReadsServeCache
	PromotionRaisesBirth
	SharedTrusted
	EnvelopeUnchecked
	NoEpochAnnounced
	NoWitness
	WitnessAtPulseIgnored
	WitnessDigestIgnored
	WitnessRaisedUncompared
	LeftForGood
	BehindForGood
	OldWitnessTrusted
	BaselessIsFresh
	FreshBeforeWitness
	ShortcutAheadOfTiers
	WriteUnwitnessed
	BehindWitnessIgnored
	ReturnBeforeApplied
	OwnRecordNotChecked
	EverywhereIsLogged
	BracketWithoutEverywhere
	BracketsNotRepublished
	MembersByLiveness
	UnheardIsGone
	StrangersForgotten
	DeadRemembered
	SilentForgotten
	NoWaitAfterEpoch
	WaiterJumps
	HolderIsMonotonic
	BroadInOnePartition
	TouchRenewsBirth
	TokenOmitsBirth
	ShipmentsUnchecked
	ShipmentsOutrunWitness
	ShippedEpochIgnored
	ShippedBirthRaised
	VouchersIgnored
	OwnersTrusted
	TurnForgetsLoads
	TurnReleasedByAny
	TurnNotExtended
	TurnWithoutRecheck
	TurnFailsSilently
	TurnJoinsOldLoad
	TurnJoinsBehindToken
	TurnIgnoresTags
	TurnUnderLapsedLease
	TurnUnproven
	SourceDropped
	SourceFloorForgotten
	SourcesForgotten
	SourceOfTagsIgnored
	UnknownSourceHidden
	ManySplit
	NestedLevelDropped
	NestedFlightJoined
	FallbackAtStrong
	FallbackUnjudged
	FallbackUnmarked
	FallbackOutlastsItsAge
	OriginNotThrottled
	NotModifiedRenewsBirth
	PreviousUnjudged
	JitterLengthens
	AnyStream
	UnsettledEnds
	ResolvedWithoutMarker
	AbortMarkerIgnored
	PulsesProlong
	LoadsNotAdmitted
	UntaggedNegativeLasts
	BatchTakesNoTurns
	BatchWaitsFirst
	CursorsOutliveWrites
	CommitsNotJoined
	BegunCommitJoined
	GatheringUnhurried
	MergesTakeNoRoom
	ReliefAtOnce
	FloorStaysWhenRowsGo
	DiskTakenUnfilled
	TakenDiskKeepsHorizon
	OffDiskForgetsFences
	LoadQueueUnbounded
	LateAnswerTaken
	AuditNeverCompares
	AuditMissesRanges
	AuditBeyondClaim
	AuditOfAnyHistory
	AuditCountsUnjudged
	AuditHearsNoObjection
	ObjectionOverwritten
	ObjectionUnheard
	MemberJoinsUnasked
	ReserveForgotten
	StrongWithoutPulse
	TwinReplaced
	TrimmedMemberUnknown
	BlocksUnchecked
	SnapshotEpochIgnored
	SnapshotUnproved
	RestoredFloorForgotten
	RestoredHorizonForgotten
	RestoredServesAtOnce
	RestoreInstalledEarly
	EvidenceReplaced
	SnapshotKeepsAhead
	// LeftoversKept: pruning leaves what killed writers left within the store.
	LeftoversKept
	ArchiveUnchecked
	OutrunOffered
	RestoredWithoutEpoch
	FrozenLogGrows
)

// Info describes a fault.
type Info struct {
	Fault Fault
	// Name is what TERCET_MUTANT takes.
	Name string
	// Clause is what the fault attacks: guarantees (G), rules (R), pitfalls (P),
	// clauses (C) and holes (H) of docs/PROTOCOL.md.
	Clause string
	// What the fault does.
	What string
}

// All yields every fault.
func All() []Info { return all[1:] }

// Find returns the fault of that name.
func Find(name string) (Fault, bool) {
	for _, i := range All() {
		if i.Name == name {
			return i.Fault, true
		}
	}
	return None, false
}

// String returns the fault's name.
func (f Fault) String() string { return all[f].Name }

var all = [...]Info{
	None:                     {None, "none", "", "nothing"},
	NoCheckAtInsert:          {NoCheckAtInsert, "no-check-at-insert", "R5, P23", "L1 takes a copy that was born before a fence of its key"},
	NoBroadCheckAtInsert:     {NoBroadCheckAtInsert, "no-broad-check-at-insert", "R5, P24", "a load's value is kept although a tag, prefix or glob of it was fenced meanwhile"},
	NoBroadCheckAtRead:       {NoBroadCheckAtRead, "no-broad-check-at-read", "R5, P25", "copies are served without a look at the fences of tags, prefixes, globs and all"},
	GuardOneTooLow:           {GuardOneTooLow, "guard-one-too-low", "R5, P23", "L1 remembers each key fence one position too low"},
	FenceLeavesCopy:          {FenceLeavesCopy, "fence-leaves-copy", "G1", "a key fence stops fills, but leaves the copy in L1"},
	RefusedSetKeepsOld:       {RefusedSetKeepsOld, "refused-set-keeps-old", "P28", "the older copy stays when L1 refuses a newer one for its size"},
	YoungSurvives:            {YoungSurvives, "young-survives", "P28, G1", "a fence of a key leaves a copy of it that memory holds on trial"},
	ExpiryFollowsWall:        {ExpiryFollowsWall, "expiry-follows-wall", "P34", "a step of the wall clock moves when copies expire"},
	ResizeForgetsFences:      {ResizeForgetsFences, "resize-forgets-fences", "P23, G1", "memory that changes its size takes fills from before the fences it was told of"},
	MainDroppedFirst:         {MainDroppedFirst, "main-dropped-first", "P28, G1", "a fence looks for a copy in main before it looks among those on trial, from where it may come meanwhile"},
	SealIgnoresPlace:         {SealIgnoresPlace, "seal-ignores-place", "G6", "a sealed value opens under another key, birth or domain too"},
	UnsealedServed:           {UnsealedServed, "unsealed-served", "G6", "a value that is not sealed is served although there are keys"},
	BombsInflate:             {BombsInflate, "bombs-inflate", "P: msgpack", "what a packed value says of its size is not held against the limit"},
	DiskFillUnchecked:        {DiskFillUnchecked, "disk-fill-unchecked", "R5, P30", "the disk takes a fill without looking at the key's fence"},
	BirthOneTooHigh:          {BirthOneTooHigh, "birth-one-too-high", "G1", "copies born one position before a fence pass for alive"},
	BirthOneTooLow:           {BirthOneTooLow, "birth-one-too-low", "G1", "births are compared with <=: a copy born at a fence is dead"},
	EpochIgnored:             {EpochIgnored, "epoch-ignored", "R13, G6", "a copy of another epoch is judged by its birth alone"},
	HorizonIgnored:           {HorizonIgnored, "horizon-ignored", "P15, P33", "copies born below the horizon are judged by the fences that are known"},
	FloorNotRaised:           {FloorNotRaised, "floor-not-raised", "G1", "the bound above which no broad fence is looked at does not rise with them"},
	SoftBroadIgnored:         {SoftBroadIgnored, "soft-broad-ignored", "P29", "soft fences of tags, prefixes, globs and all cover nothing"},
	SoftKeyIgnored:           {SoftKeyIgnored, "soft-key-ignored", "P29", "soft fences of keys cover nothing"},
	StaleIsAlive:             {StaleIsAlive, "stale-is-alive", "P29", "a copy behind a soft fence is served unmarked"},
	GapWithoutHorizon:        {GapWithoutHorizon, "gap-without-horizon", "R12, P15", "a start in a trimmed log leaves the horizon at zero"},
	HoleEndsBrackets:         {HoleEndsBrackets, "hole-ends-brackets", "R12, H10", "a node that begins anew behind a hole in the log forgets the open brackets"},
	UndecodableSkipped:       {UndecodableSkipped, "undecodable-skipped", "R14, P19", "a record that can't be decoded is skipped"},
	UnknownChangeSkipped:     {UnknownChangeSkipped, "unknown-change-skipped", "R14, P19", "a change without a known meaning is skipped"},
	FewEpochsRemembered:      {FewEpochsRemembered, "few-epochs-remembered", "G8", "a node remembers the last 16 epochs that it left, fewer than the log holds"},
	ReadOutlivesRestart:      {ReadOutlivesRestart, "read-outlives-restart", "P44, H8", "a copy is served that was judged while the partition applied its log anew"},
	UnreadSourceIgnored:      {UnreadSourceIgnored, "unread-source-ignored", "P19, P3", "a record that can't be read is taken for one that tells no position of the origin"},
	PruneWithoutHorizon:      {PruneWithoutHorizon, "prune-without-horizon", "P33", "pruned fences are forgotten, and the horizon stays"},
	BroadFencesForgotten:     {BroadFencesForgotten, "broad-fences-forgotten", "G7, P37", "a restart forgets the fences of tags, prefixes, globs and all"},
	KeyFencesNotKept:         {KeyFencesNotKept, "key-fences-not-kept", "G7, P37", "fences of keys are not kept on disk"},
	BracketsForgotten:        {BracketsForgotten, "brackets-forgotten", "H10, G7", "a restart forgets the open brackets"},
	IntentWithoutFence:       {IntentWithoutFence, "intent-without-fence", "R15", "an intent opens its bracket, but fences nothing"},
	EndWithoutFence:          {EndWithoutFence, "end-without-fence", "R15", "an end closes its bracket, but fences nothing"},
	UnknownEndIgnored:        {UnknownEndIgnored, "unknown-end-ignored", "H10", "the end of a bracket that is not known fences nothing"},
	BypassIgnoresTags:        {BypassIgnoresTags, "bypass-ignores-tags", "R15, P24", "an open bracket does not keep copies with its tags from being stored"},
	BracketsHarmless:         {BracketsHarmless, "brackets-harmless", "H7, R15", "copies under an open bracket live: they are served, kept and shared by readers"},
	DivergenceIgnored:        {DivergenceIgnored, "divergence-ignored", "P22, H1", "digests in members' pulses are not compared"},
	FirstIsLast:              {FirstIsLast, "first-is-last", "R9, P46", "a member's place in the log moves with each of its pulses"},
	EpochKeepsMembers:        {EpochKeepsMembers, "epoch-keeps-members", "H4", "members of the old epoch, and how far they had come, count in the new one"},
	EpochStaysSettled:        {EpochStaysSettled, "epoch-stays-settled", "H4", "what was vouched for in the old epoch counts in the new one"},
	EpochIgnoresPlace:        {EpochIgnoresPlace, "epoch-ignores-place", "G6", "an epoch announced twice is the same in both places"},
	DigestOfLastOnly:         {DigestOfLastOnly, "digest-of-last-only", "H1", "the digest does not roll: it names the last record only"},
	TokenIgnored:             {TokenIgnored, "token-ignored", "G2", "session reads don't wait"},
	TokenEpochIgnored:        {TokenEpochIgnored, "token-epoch-ignored", "G2", "a token's position is compared whatever its epoch"},
	UnknownEpochServed:       {UnknownEpochServed, "unknown-epoch-served", "G2", "a token of an epoch that this node has not heard of yet counts as satisfied"},
	TokenStandsStill:         {TokenStandsStill, "token-stands-still", "G2", "a token is not advanced within its epoch"},
	StrongByClock:            {StrongByClock, "strong-by-clock", "C6", "a strong read is answered by a pulse of the same clock reading"},
	BoundIgnored:             {BoundIgnored, "bound-ignored", "G3", "every bound is taken for the lease"},
	NoLease:                  {NoLease, "no-lease", "G5", "a node that is cut off goes on serving"},
	UnmarkedStale:            {UnmarkedStale, "unmarked-stale", "policy serve", "a cut-off node does not mark what it serves"},
	ConflictsJoined:          {ConflictsJoined, "conflicts-joined", "P2, P7", "two puts of a key share a record"},
	LeaseWaitWithoutDrift:    {LeaseWaitWithoutDrift, "lease-wait-without-drift", "C3", "a writer waits for the lease, without the drift of clocks"},
	LeaseWaitOneSided:        {LeaseWaitOneSided, "lease-wait-one-sided", "C3", "a writer waits lease x (1+r), as if the holder's clock were right"},
	GapIgnored:               {GapIgnored, "gap-ignored", "R12, P14", "a delivery may skip positions"},
	HoleMetAgain:             {HoleMetAgain, "hole-met-again", "R12, P15", "a node that met a hole in the log reads the log from its beginning"},
	IdentityIgnored:          {IdentityIgnored, "identity-ignored", "R13, P21", "a position that is delivered again may hold another record"},
	AttachBehindLast:         {AttachBehindLast, "attach-behind-last", "R13, P14", "a follower attaches behind its last record, whose identity it does not check"},
	ShorterLogIgnored:        {ShorterLogIgnored, "shorter-log-ignored", "R13, P14", "a log that ends before the follower's place is waited on"},
	DriftIgnored:             {DriftIgnored, "drift-ignored", "P17", "settings of the log's streams are not checked"},
	LeftIsNotLanded:          {LeftIsNotLanded, "left-is-not-landed", "P9", "a writer who stops waiting is told that the record certainly did not land"},
	TraceEndsAtRules:         {TraceEndsAtRules, "trace-ends-at-rules", "traces", "fences do not carry on the trace of the invalidator's span"},
	EverythingGlobTaken:      {EverythingGlobTaken, "everything-glob-taken", "blast radius", "a glob of nothing but wildcards clears the whole domain"},
	EventUnstoredAccepted:    {EventUnstoredAccepted, "event-unstored-accepted", "R1, P1", "an event that came over HTTP is accepted although the stream did not keep it"},
	EventAckedUnfenced:       {EventAckedUnfenced, "event-acked-unfenced", "R1, P1", "a domain event counts as handled although its fences did not land"},
	ParkedRuleLands:          {ParkedRuleLands, "parked-rule-lands", "blast radius", "a parked rule's fences land all the same"},
	ParkedEventDropped:       {ParkedEventDropped, "parked-event-dropped", "blast radius, R1", "an event of a parked rule is acknowledged and not kept"},
	LimitNotShared:           {LimitNotShared, "limit-not-shared", "blast radius", "a process goes on when the budget of all is spent"},
	SettledUnfenced:          {SettledUnfenced, "settled-unfenced", "R3, P3", "an event that is to settle is acknowledged without its second fence"},
	CoalescedAckedEarly:      {CoalescedAckedEarly, "coalesced-acked-early", "R1, P1", "an event is acknowledged before the record that gathers its fences has landed"},
	DuplicateById:            {DuplicateById, "duplicate-by-id", "R1, P1", "two different events with one source and id count as one"},
	DuplicateBeforeFence:     {DuplicateBeforeFence, "duplicate-before-fence", "R1, P1", "an event counts as seen before its fences have landed"},
	OutboxForgetsEarly:       {OutboxForgetsEarly, "outbox-forgets-early", "R1, P1", "an outbox removes a message before its delivery"},
	OutboxRowDroppedEarly:    {OutboxRowDroppedEarly, "outbox-row-dropped-early", "R1, H6", "a row of the outbox table goes before what it holds has landed"},
	AppliedBeforeApply:       {AppliedBeforeApply, "applied-before-apply", "R7, P48", "a position counts as applied before the tiers have it"},
	BaseByNumber:             {BaseByNumber, "base-by-number", "H1, H3", "a node without a base takes that of a member that may be in a lost history"},
	ConfirmationUnwanted:     {ConfirmationUnwanted, "confirmation-unwanted", "P48", "a node does not confirm a record that asks for it"},
	AckBeforeDisk:            {AckBeforeDisk, "ack-before-disk", "R7, P48", "a node confirms before its disk has the record"},
	AckByNumber:              {AckByNumber, "ack-by-number", "H2", "a confirmation counts whatever its digest"},
	AckOfAnyEpoch:            {AckOfAnyEpoch, "ack-of-any-epoch", "H4, P48", "a confirmation counts whatever its epoch"},
	PulseAheadOfTiers:        {PulseAheadOfTiers, "pulse-ahead-of-tiers", "R7, P48", "a pulse reports what the world has applied and the disk lacks"},
	PulseAckUnproven:         {PulseAckUnproven, "pulse-ack-unproven", "H2, H4", "a member's pulse confirms by number, whatever its epoch and digest"},
	VersionIgnored:           {VersionIgnored, "version-ignored", "R2, P2", "the later put wins, whatever the row versions say"},
	FenceOnlyPutIgnored:      {FenceOnlyPutIgnored, "fence-only-put-ignored", "G1", "a put whose value does not ride inline fences nothing"},
	ForeignEntryTaken:        {ForeignEntryTaken, "foreign-entry-taken", "P39", "a put may carry the entry of another key"},
	GuardSinceIgnored:        {GuardSinceIgnored, "guard-since-ignored", "P37", "a node without a disk trusts guard slots that saw nothing of before its start"},
	BirthAfterLoad:           {BirthAfterLoad, "birth-after-load", "R4, P4", "a load's birth is taken when it ends"},
	NestedKeepsBirth:         {NestedKeepsBirth, "nested-keeps-birth", "R4, P4", "a load made of older copies keeps its own birth"},
	NestedDropsTags:          {NestedDropsTags, "nested-drops-tags", "R4, P4", "a load made of other copies drops their tags"},
	JoinOldLoad:              {JoinOldLoad, "join-old-load", "R6, P26", "a reader joins a load that began before a fence of the key"},
	JoinIgnoresToken:         {JoinIgnoresToken, "join-ignores-token", "R6, P26", "a reader joins a load that began before its session's place"},
	JoinIgnoresTags:          {JoinIgnoresTags, "join-ignores-tags", "R6, P24", "a reader who joined takes a value whose tag was fenced before it came"},
	JoinUnderLapsedLease:     {JoinUnderLapsedLease, "join-under-lapsed-lease", "H8", "a reader joins a load while the node is cut off"},
	CopiesOutrunWitness:      {CopiesOutrunWitness, "copies-outrun-witness", "H5", "a copy goes to L2 before the witness covers its birth"},
	SkipJoinGate:             {SkipJoinGate, "skip-join-gate", "R8, P31", "a node serves before it has applied its first pulse"},
	ServeAfterLeave:          {ServeAfterLeave, "serve-after-leave", "C5", "a node goes on serving when it sends its leave"},
	LeaseFromReceipt:         {LeaseFromReceipt, "lease-from-receipt", "C1, P42", "fresh-as-of is when a pulse was applied, not when it set out"},
	AnyRecordIsPulse:         {AnyRecordIsPulse, "any-record-is-pulse", "C4", "any own record makes the node fresh"},
	SharePulseAlreadySent:    {SharePulseAlreadySent, "share-pulse-already-sent", "R11, P51", "a strong read shares a pulse that had set out before it"},
	PulsesNotVoided:          {PulsesNotVoided, "pulses-not-voided", "H3, G8", "a pulse from before a change of history counts behind it"},
	OtherLeaseChecked:        {OtherLeaseChecked, "other-lease-checked", "R10, P44", "the lease is noted after the value was taken"},
	LateReadsServeCache:      {LateReadsServeCache, "late-reads-serve-cache", "P53", "a read that waited in vain is answered from the cache"},
	PromotionRaisesBirth:     {PromotionRaisesBirth, "promotion-raises-birth", "P27", "a copy that moves nearer gets the birth of that moment"},
	SharedTrusted:            {SharedTrusted, "shared-trusted", "R16, P35", "what L2 returns is served without being judged"},
	EnvelopeUnchecked:        {EnvelopeUnchecked, "envelope-unchecked", "P39", "L2 returns what lies under the name, whatever its key and epoch"},
	NoEpochAnnounced:         {NoEpochAnnounced, "no-epoch-announced", "R13, A.7", "a node that finds a changed history begins anew in silence"},
	NoWitness:                {NoWitness, "no-witness", "R13, H3", "there is no witness"},
	WitnessAtPulseIgnored:    {WitnessAtPulseIgnored, "witness-at-pulse-ignored", "H3", "a pulse is not held against what the witness said before it set out"},
	WitnessDigestIgnored:     {WitnessDigestIgnored, "witness-digest-ignored", "H3", "the witness's digest is not compared"},
	WitnessRaisedUncompared:  {WitnessRaisedUncompared, "witness-raised-uncompared", "H3", "a lower witness is replaced whatever its digest is"},
	BehindForGood:            {BehindForGood, "behind-for-good", "H3, ADR 0018", "a node that began anew goes on in an epoch although it knows later ones that the log has lost"},
	LeftForGood:              {LeftForGood, "left-for-good", "H3, ADR 0018", "an epoch counts as left although the log has lost what ended it"},
	OldWitnessTrusted:        {OldWitnessTrusted, "old-witness-trusted", "H3", "a witness from before the digests that are remembered passes for this history's"},
	BaselessIsFresh:          {BaselessIsFresh, "baseless-is-fresh", "H3", "a node whose digest has no base calls itself fresh"},
	FreshBeforeWitness:       {FreshBeforeWitness, "fresh-before-witness", "H3", "a pulse makes the node fresh before the witness covers it"},
	ShortcutAheadOfTiers:     {ShortcutAheadOfTiers, "shortcut-ahead-of-tiers", "P48", "a pulse behind a record that the tiers lack yet makes the node fresh"},
	WriteUnwitnessed:         {WriteUnwitnessed, "write-unwitnessed", "H6, P13", "a write returns before the witness covers it"},
	BehindWitnessIgnored:     {BehindWitnessIgnored, "behind-witness-ignored", "H3", "a write returns although the witness knows of records that its node lacks"},
	ReturnBeforeApplied:      {ReturnBeforeApplied, "return-before-applied", "P13, G2", "a write returns before its node has applied it"},
	OwnRecordNotChecked:      {OwnRecordNotChecked, "own-record-not-checked", "H2, P12", "a writer does not look whose record stands at its position"},
	EverywhereIsLogged:       {EverywhereIsLogged, "everywhere-is-logged", "G5", "an everywhere write waits for nobody"},
	BracketWithoutEverywhere: {BracketWithoutEverywhere, "bracket-without-everywhere", "R15", "a bracket's function starts before the intent is everywhere"},
	BracketsNotRepublished:   {BracketsNotRepublished, "brackets-not-republished", "H10", "open brackets are not published again before retention takes them"},
	MembersByLiveness:        {MembersByLiveness, "members-by-liveness", "R9, P46", "a writer does not wait for members that missed two pulses"},
	UnheardIsGone:            {UnheardIsGone, "unheard-is-gone", "R9, P47", "a member that was heard only before the writer listened counts as gone"},
	StrangersForgotten:       {StrangersForgotten, "strangers-forgotten", "H4, P47", "a writer does not wait for members that it could not hear of"},
	DeadRemembered:           {DeadRemembered, "dead-remembered", "P46", "members that died without a farewell are never forgotten"},
	SilentForgotten:          {SilentForgotten, "silent-forgotten", "R9, P46", "a member that is silent for a moment is forgotten, its lease with it"},
	NoWaitAfterEpoch:         {NoWaitAfterEpoch, "no-wait-after-epoch", "H4", "a new epoch does not make writers wait for its strangers"},
	WaiterJumps:              {WaiterJumps, "waiter-jumps", "C2", "a waiting writer's clock jumps with the wall clock"},
	HolderIsMonotonic:        {HolderIsMonotonic, "holder-is-monotonic", "C2, P45", "a lease's clock stands still while the machine is suspended"},
	BroadInOnePartition:      {BroadInOnePartition, "broad-in-one-partition", "G1", "fences of tags, prefixes, globs and all go to one partition"},
	TouchRenewsBirth:         {TouchRenewsBirth, "touch-renews-birth", "P29", "a touch gives the copy a new birth"},
	TokenOmitsBirth:          {TokenOmitsBirth, "token-omits-birth", "H9", "the token after a read does not cover the birth of what was read"},
	ShipmentsUnchecked:       {ShipmentsUnchecked, "shipments-unchecked", "P23, G9", "a copy that another node sent is kept without a look at the fences"},
	ShipmentsOutrunWitness:   {ShipmentsOutrunWitness, "shipments-outrun-witness", "H5", "a copy goes to other nodes before the witness covers its birth"},
	ShippedEpochIgnored:      {ShippedEpochIgnored, "shipped-epoch-ignored", "G6", "a copy that another node sent counts as one of this epoch"},
	ShippedBirthRaised:       {ShippedBirthRaised, "shipped-birth-raised", "P27", "a copy that another node sent is born when it arrives"},
	VouchersIgnored:          {VouchersIgnored, "vouchers-ignored", "H1, H5", "a copy is taken from a node whose history may be another"},
	OwnersTrusted:            {OwnersTrusted, "owners-trusted", "G1, P35", "what an owner answers is served without being judged"},
	TurnForgetsLoads:         {TurnForgetsLoads, "turn-forgets-loads", "G10", "who asks for a turn just after a load has ended gets one"},
	TurnReleasedByAny:        {TurnReleasedByAny, "turn-released-by-any", "G10", "a holder that lost its turn ends the next one's"},
	TurnNotExtended:          {TurnNotExtended, "turn-not-extended", "G10", "a turn is not prolonged while its load runs"},
	TurnWithoutRecheck:       {TurnWithoutRecheck, "turn-without-recheck", "G10", "who waits for a turn waits for its announcement alone"},
	TurnFailsSilently:        {TurnFailsSilently, "turn-fails-silently", "G10", "a load that failed is not announced"},
	TurnJoinsOldLoad:         {TurnJoinsOldLoad, "turn-joins-old-load", "R6, P26", "a reader takes the value of another node's load that began before a fence of the key"},
	TurnJoinsBehindToken:     {TurnJoinsBehindToken, "turn-joins-behind-token", "R6, P26", "a reader takes the value of another node's load that began before its session's place"},
	TurnIgnoresTags:          {TurnIgnoresTags, "turn-ignores-tags", "R6, P24", "a reader takes another node's value although a tag of it was fenced"},
	TurnUnderLapsedLease:     {TurnUnderLapsedLease, "turn-under-lapsed-lease", "H8", "a node that is cut off takes part in turns"},
	TurnUnproven:             {TurnUnproven, "turn-unproven", "H5, H1", "a value that came with an announcement is taken whatever the announcer's history"},
	SourceDropped:            {SourceDropped, "source-dropped", "R3, P3", "a fence's position in the origin is not remembered for loads"},
	SourceFloorForgotten:     {SourceFloorForgotten, "source-floor-forgotten", "R3, P3", "only the origin's positions of the last fences are remembered"},
	SourcesForgotten:         {SourcesForgotten, "sources-forgotten", "R3, G7", "a restart forgets the origin's positions that loads must have reached"},
	SourceOfTagsIgnored:      {SourceOfTagsIgnored, "source-of-tags-ignored", "R3, P24", "a load is kept whose tags' fences demand a later position of the origin than it was told"},
	UnknownSourceHidden:      {UnknownSourceHidden, "unknown-source-hidden", "R3, P53", "a load that goes past the cache, since its node is behind, is told a position as if the node knew"},
	ManySplit:                {ManySplit, "many-split", "P7", "invalidations of one call travel in several records"},
	NestedLevelDropped:       {NestedLevelDropped, "nested-level-dropped", "R4, R11", "reads within a loader are as fresh as they ask for themselves, whatever the outer read asked for"},
	NestedFlightJoined:       {NestedFlightJoined, "nested-flight-joined", "R6, R11", "a reader joins a load whose loader has read copies at a weaker level"},
	FallbackAtStrong:         {FallbackAtStrong, "fallback-at-strong", "P29, G4", "a strong read falls back to a copy behind a soft fence"},
	FallbackUnjudged:         {FallbackUnjudged, "fallback-unjudged", "P29, G1", "a fallback may lie behind a hard fence"},
	FallbackUnmarked:         {FallbackUnmarked, "fallback-unmarked", "P29", "a fallback is not marked as stale"},
	FallbackOutlastsItsAge:   {FallbackOutlastsItsAge, "fallback-outlasts-its-age", "P29", "an expired copy serves as a fallback for longer than its policy says"},
	OriginNotThrottled:       {OriginNotThrottled, "origin-not-throttled", "P50", "an origin that has just failed is asked again although there is a fallback"},
	NotModifiedRenewsBirth:   {NotModifiedRenewsBirth, "not-modified-renews-birth", "P27, P29", "a value that its origin has found unchanged is born when that was learnt, not when it was asked"},
	PreviousUnjudged:         {PreviousUnjudged, "previous-unjudged", "P29", "a loader may call a copy unchanged that a hard fence has killed"},
	JitterLengthens:          {JitterLengthens, "jitter-lengthens", "P34", "jitter makes lives longer"},
	AnyStream:                {AnyStream, "any-stream", "P11", "a record counts as landed whichever stream took it"},
	UnsettledEnds:            {UnsettledEnds, "unsettled-ends", "P6", "a bracket ends although its commit may still happen"},
	ResolvedWithoutMarker:    {ResolvedWithoutMarker, "resolved-without-marker", "P6", "a bracket is resolved without an abort marker"},
	AbortMarkerIgnored:       {AbortMarkerIgnored, "abort-marker-ignored", "P6", "a writer commits although its bracket was resolved"},
	PulsesProlong:            {PulsesProlong, "pulses-prolong", "P49", "a member that pulses and applies nothing makes a writer wait for a lease that never ends"},
	LoadsNotAdmitted:         {LoadsNotAdmitted, "loads-not-admitted", "P50", "loads begin at once, however many there are"},
	UntaggedNegativeLasts:    {UntaggedNegativeLasts, "untagged-negative-lasts", "P8", "that something does not exist is known for as long as its loader says, though nothing names what would change that"},
	BatchTakesNoTurns:        {BatchTakesNoTurns, "batch-takes-no-turns", "G10", "keys that miss together are loaded by every node that misses them"},
	BatchWaitsFirst:          {BatchWaitsFirst, "batch-waits-first", "G10", "a batch waits for other nodes' loads before it begins its own"},
	CursorsOutliveWrites:     {CursorsOutliveWrites, "cursors-outlive-writes", "G1, P48", "a lookup on disk may go by how the store was before the last writes"},
	CommitsNotJoined:         {CommitsNotJoined, "commits-not-joined", "P49", "a node applies the log no faster than its disk takes small writes"},
	BegunCommitJoined:        {BegunCommitJoined, "begun-commit-joined", "G1, G7", "fences are added to a write that is under way, and never written"},
	GatheringUnhurried:       {GatheringUnhurried, "gathering-unhurried", "P49", "whoever waits for the disk waits until a commit that gathers is large or old"},
	MergesTakeNoRoom:         {MergesTakeNoRoom, "merges-take-no-room", "P37", "values are stored in the room that a merge needs, and the disk tier outgrows its budget"},
	ReliefAtOnce:             {ReliefAtOnce, "relief-at-once", "P37", "what was evicted goes in one merge, which takes as much room again as all that stays"},
	FloorStaysWhenRowsGo:     {FloorStaysWhenRowsGo, "floor-stays-when-rows-go", "G1, P37", "the fence of a key that was forgotten for room on disk counts as never set"},
	DiskTakenUnfilled:        {DiskTakenUnfilled, "disk-taken-unfilled", "G1, G7", "a new disk is taken over before the log's fences are on it"},
	TakenDiskKeepsHorizon:    {TakenDiskKeepsHorizon, "taken-disk-keeps-horizon", "P15, G1", "a new disk lacks the fences that the log has forgotten, and copies from before are trusted"},
	OffDiskForgetsFences:     {OffDiskForgetsFences, "off-disk-forgets-fences", "G1", "a disk tier that is switched off keeps no fences"},
	LoadQueueUnbounded:       {LoadQueueUnbounded, "load-queue-unbounded", "P50", "any number of loads waits for the origin"},
	LateAnswerTaken:          {LateAnswerTaken, "late-answer-taken", "P9", "the answer to a publish that was given up counts as that to the next one"},
	AuditNeverCompares:       {AuditNeverCompares, "audit-never-compares", "G1", "the auditor holds no read against the fences"},
	AuditMissesRanges:        {AuditMissesRanges, "audit-misses-ranges", "G1", "the auditor knows fences of keys only"},
	AuditBeyondClaim:         {AuditBeyondClaim, "audit-beyond-claim", "G1", "the auditor blames a read for a fence behind what it claims"},
	AuditOfAnyHistory:        {AuditOfAnyHistory, "audit-of-any-history", "G1, H1", "the auditor judges a copy by the records of another history"},
	AuditCountsUnjudged:      {AuditCountsUnjudged, "audit-counts-unjudged", "G1", "reads that the auditor can't judge count as checked"},
	AuditHearsNoObjection:    {AuditHearsNoObjection, "audit-hears-no-objection", "G1", "another node's objection to a copy counts for nothing"},
	ObjectionOverwritten:     {ObjectionOverwritten, "objection-overwritten", "H3", "of what other members object to a testimony the last alone is compared"},
	ObjectionUnheard:         {ObjectionUnheard, "objection-unheard", "H3", "what other members object to a testimony is not compared"},
	MemberJoinsUnasked:       {MemberJoinsUnasked, "member-joins-unasked", "H3", "a member that starts does not ask what the others were told"},
	ReserveForgotten:         {ReserveForgotten, "reserve-forgotten", "H3", "what the members were told while Redis was away is forgotten when it is back"},
	StrongWithoutPulse:       {StrongWithoutPulse, "strong-without-pulse", "P52, R11", "a strong read is answered by all that the log has handed over"},
	TrimmedMemberUnknown:     {TrimmedMemberUnknown, "trimmed-member-unknown", "P43, P16", "a writer does not wait for members whose pulses may have been trimmed out of the log"},
	TwinReplaced:             {TwinReplaced, "twin-replaced", "P41", "a process that pulses takes the place of another with its node's name"},
	BlocksUnchecked:          {BlocksUnchecked, "blocks-unchecked", "G6", "the rows of a snapshot are taken without a look at its checksums"},
	SnapshotEpochIgnored:     {SnapshotEpochIgnored, "snapshot-epoch-ignored", "G6, G8", "a snapshot of an epoch that the log has left counts as one of today"},
	SnapshotUnproved:         {SnapshotUnproved, "snapshot-unproved", "H1, G8", "a snapshot counts as of the log's history if the log has its last record"},
	RestoredFloorForgotten:   {RestoredFloorForgotten, "restored-floor-forgotten", "G6, P37", "the fences of keys without a row are not restored from a snapshot"},
	RestoredHorizonForgotten: {RestoredHorizonForgotten, "restored-horizon-forgotten", "G6, P33", "a world that is restored takes births from below its horizon"},
	RestoredServesAtOnce:     {RestoredServesAtOnce, "restored-serves-at-once", "G6, P31", "a node that begins with what it has kept serves before it has applied the log's tail"},
	EvidenceReplaced:         {EvidenceReplaced, "evidence-replaced", "G8", "a snapshot takes the place of a disk that contradicts the log"},
	LeftoversKept:            {LeftoversKept, "leftovers-kept", "G7", "what killed processes left half written in a store of snapshots stays there for ever"},
	SnapshotKeepsAhead:       {SnapshotKeepsAhead, "snapshot-keeps-ahead", "G6, H5", "a snapshot holds copies that were born behind its place"},
	RestoreInstalledEarly:    {RestoreInstalledEarly, "restore-installed-early", "G6, G7", "the rows of a snapshot take the disk's place before all of them were read"},
	ArchiveUnchecked:         {ArchiveUnchecked, "archive-unchecked", "G6", "a damaged line of an archive is replayed"},
	OutrunOffered:            {OutrunOffered, "outrun-offered", "P2, G6", "a value that lost to a higher row version is offered to a node"},
	RestoredWithoutEpoch:     {RestoredWithoutEpoch, "restored-without-epoch", "G6, G8", "a restored log goes on in the epoch of its backup"},
	FrozenLogGrows:           {FrozenLogGrows, "frozen-log-grows", "G6", "a scratch node sees records from behind its place in time"},
}
