// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	formats "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/light"
	"github.com/cometbft/cometbft/types"
)

// forever is a trusting period that no evidence outlives: how old it may be is not asked here.
const forever = time.Duration(math.MaxInt64)

// lineLight is a light block as docs/evidence.md writes it.
type lineLight struct {
	Header json.RawMessage     `json:"header"`
	Round  int32               `json:"round"`
	Parts  json.RawMessage     `json:"parts"`
	Votes  [][]json.RawMessage `json:"votes"`
	Sets   [][]json.RawMessage `json:"validators"`
}

// evidenceFile is what the judges below ask of an evidence file.
type evidenceFile struct {
	Records []struct {
		Record string
		Batch  int
		Index  int64
		Path   [][]byte
	}
	Batches []struct {
		Note, Proof string
		Key         []byte
		Anchor      int
	}
	Anchors []struct {
		LogKey []byte `json:"log_key"`
		Head   struct {
			Size int64
			Root []byte
		}
	}
	LightBlocks []lineLight `json:"light_blocks"`
	Eras        []lineLight
}

// given is one line: an evidence file and the trust file to judge it by.
type given struct {
	Evidence evidenceFile
	Trust    struct {
		LightBlock lineLight `json:"light_block"`
		Eras       []lineLight
	}
}

// lightBlocks returns all of both files, the trusted one first.
func (g given) lightBlocks() []lineLight {
	all := append([]lineLight{g.Trust.LightBlock}, g.Trust.Eras...)
	return append(append(all, g.Evidence.Eras...), g.Evidence.LightBlocks...)
}

// judgeEvidence answers with the links that are refused, and why.
func judgeEvidence(line []byte) (any, error) {
	links := map[string]func(given) error{
		"record": recordLink, "note": noteLink, "log": logLink, "commit": commitLink, "light": lightLink,
	}
	var one given
	if err := json.Unmarshal(line, &one); err != nil {
		return map[string]string{"file": reason(err)}, nil
	}
	said := map[string]string{}
	for name, link := range links {
		if err := calmly(link, one); err != nil {
			said[name] = reason(err)
		}
	}
	return said, nil
}

// calmly takes a panic for a refusal: CometBFT panics at a validator that is there twice.
func calmly(link func(given) error, one given) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return link(one)
}

// recordLink: every record's leaf lies in its note's root (x/mod's tlog).
func recordLink(one given) error {
	for _, record := range one.Evidence.Records {
		lines := noteLines(one.Evidence.Batches[record.Batch].Note)
		size, err := strconv.ParseInt(lines["size"], 10, 64)
		if err != nil {
			return err
		}
		root, err := tlog.ParseHash(lines["root"])
		if err != nil {
			return err
		}
		leaf, err := leafOf(record.Record)
		if err != nil {
			return err
		}
		if err := checkPath(record.Path, size, root, record.Index, tlog.RecordHash(leaf)); err != nil {
			return err
		}
	}
	return nil
}

// noteLink: every batch note is signed by the issuer's key (x/mod's note).
func noteLink(one given) error {
	for _, batch := range one.Evidence.Batches {
		if _, err := openNote(batch.Note, noteLines(batch.Note)["issuer"], batch.Key); err != nil {
			return err
		}
	}
	return nil
}

// logLink: every signed note lies in the checkpoint that the log's key signed and the head names (transparency-dev's
// formats for tlog-proof and checkpoint, x/mod for signature and inclusion).
func logLink(one given) error {
	for _, batch := range one.Evidence.Batches {
		var shown proof.TLogProof
		if err := shown.Unmarshal([]byte(batch.Proof)); err != nil {
			return err
		}
		if !bytes.Equal(shown.Marshal(), []byte(batch.Proof)) {
			return errors.New("tlog-proof is written in another way than formats'")
		}
		anchor := one.Evidence.Anchors[batch.Anchor]
		opened, err := openNote(string(shown.Checkpoint), noteLines(batch.Note)["log"], anchor.LogKey)
		if err != nil {
			return err
		}
		var head formats.Checkpoint
		if rest, err := head.Unmarshal([]byte(opened.Text)); err != nil || len(rest) != 0 {
			return fmt.Errorf("checkpoint: %v, rest %q", err, rest)
		}
		if head.Origin != opened.Sigs[0].Name || int64(head.Size) != anchor.Head.Size || !bytes.Equal(head.Hash, anchor.Head.Root) {
			return errors.New("the checkpoint is not the anchored head's")
		}
		path := make([][]byte, len(shown.Hashes))
		for at := range shown.Hashes {
			path[at] = shown.Hashes[at][:]
		}
		leaf := tlog.RecordHash([]byte(batch.Note))
		if err := checkPath(path, int64(head.Size), tlog.Hash(head.Hash), int64(shown.Index), leaf); err != nil {
			return err
		}
	}
	return nil
}

// commitLink: every light block has more than 2/3 of the validators that its header names (CometBFT's types).
func commitLink(one given) error {
	for _, written := range one.lightBlocks() {
		block, err := written.read()
		if err != nil {
			return err
		}
		if err := block.ValidateBasic(block.ChainID); err != nil {
			return err
		}
		err = block.ValidatorSet.VerifyCommitLight(block.ChainID, block.Commit.BlockID, block.Height, block.Commit)
		if err != nil {
			return err
		}
	}
	return nil
}

// lightLink: from the trust file's light block on every one follows by the rules of CometBFT's light client.
func lightLink(one given) error {
	written := one.lightBlocks()
	blocks := make([]*types.LightBlock, len(written))
	for at := range written {
		block, err := written[at].read()
		if err != nil {
			return err
		}
		blocks[at] = block
	}
	trusted := blocks[0]
	if err := trusted.ValidateBasic(trusted.ChainID); err != nil {
		return err
	}
	sort.SliceStable(blocks, func(i, j int) bool { return blocks[i].Height < blocks[j].Height })
	for _, next := range blocks {
		if bytes.Equal(next.Hash(), trusted.Hash()) {
			continue
		}
		if err := next.ValidateBasic(trusted.ChainID); err != nil {
			return err
		}
		now := next.Time.Add(time.Second)
		if err := light.Verify(trusted.SignedHeader, trusted.ValidatorSet, next.SignedHeader,
			next.ValidatorSet, forever, now, maxClockDrift, trustLevel); err != nil {
			return err
		}
		trusted = next
	}
	return nil
}

// read makes CometBFT's light block of ours: votes that are left out are those of absent validators.
func (l lineLight) read() (*types.LightBlock, error) {
	var header types.Header
	if err := cmtjson.Unmarshal(l.Header, &header); err != nil {
		return nil, err
	}
	var parts types.PartSetHeader
	if err := cmtjson.Unmarshal(l.Parts, &parts); err != nil {
		return nil, err
	}
	members := make([]json.RawMessage, len(l.Sets))
	for at, set := range l.Sets {
		members[at] = json.RawMessage(fmt.Sprintf(
			`{"pub_key":{"type":"tendermint/PubKeyEd25519","value":%s},"voting_power":"%s","proposer_priority":"0"}`, set[0], set[1]))
	}
	listed, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	var validators []*types.Validator
	if err := cmtjson.Unmarshal(listed, &validators); err != nil {
		return nil, err
	}
	commit := &types.Commit{Height: header.Height, Round: l.Round,
		BlockID: types.BlockID{Hash: header.Hash(), PartSetHeader: parts}}
	for _, one := range validators {
		one.Address = one.PubKey.Address()
		commit.Signatures = append(commit.Signatures, types.NewCommitSigAbsent())
	}
	for _, vote := range l.Votes {
		index, err := strconv.Atoi(string(vote[0]))
		if err != nil {
			return nil, err
		}
		sig := types.CommitSig{BlockIDFlag: types.BlockIDFlagCommit, ValidatorAddress: validators[index].Address}
		if err := errors.Join(json.Unmarshal(vote[1], &sig.Timestamp), json.Unmarshal(vote[2], &sig.Signature)); err != nil {
			return nil, err
		}
		commit.Signatures[index] = sig
	}
	set, err := types.ValidatorSetFromExistingValidators(validators)
	if err != nil {
		return nil, err
	}
	return &types.LightBlock{SignedHeader: &types.SignedHeader{Header: &header, Commit: commit}, ValidatorSet: set}, nil
}

func openNote(signed, name string, key []byte) (*note.Note, error) {
	text, err := note.NewEd25519VerifierKey(name, ed25519.PublicKey(key))
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, err
	}
	return note.Open([]byte(signed), note.VerifierList(verifier))
}

func checkPath(path [][]byte, size int64, root tlog.Hash, index int64, leaf tlog.Hash) error {
	hashes := make(tlog.RecordProof, len(path))
	for at, one := range path {
		if len(one) != tlog.HashSize {
			return errors.New("a hash that is none")
		}
		hashes[at] = tlog.Hash(one)
	}
	return tlog.CheckRecord(hashes, size, root, index, leaf)
}

// noteLines returns the lines `name value` of a statement's text.
func noteLines(text string) map[string]string {
	found := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if name, value, ok := strings.Cut(line, " "); ok {
			found[name] = value
		}
	}
	return found
}

// leafOf rebuilds what was hashed: a line for each field, shown or not, ascending by name.
func leafOf(presentation string) ([]byte, error) {
	head, shown, _ := strings.Cut(presentation, "\n~")
	var lines, fields []string
	for _, line := range strings.Split(head, "\n") {
		if strings.HasPrefix(line, "field ") {
			fields = append(fields, line)
		} else {
			lines = append(lines, line)
		}
	}
	for _, disclosure := range strings.FieldsFunc(strings.TrimSuffix(shown, "\n"), func(r rune) bool { return r == '~' }) {
		decoded, err := base64.RawURLEncoding.DecodeString(disclosure)
		if err != nil {
			return nil, err
		}
		var triple []any
		if err := json.Unmarshal(decoded, &triple); err != nil || len(triple) != 3 {
			return nil, fmt.Errorf("not a disclosure: %v", err)
		}
		digest := sha256.Sum256([]byte(disclosure))
		fields = append(fields, fmt.Sprintf("field %s %s", triple[1], base64.RawURLEncoding.EncodeToString(digest[:])))
	}
	sort.Strings(fields)
	return []byte(strings.Join(append(lines, fields...), "\n") + "\n"), nil
}
