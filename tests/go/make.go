// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/rand"
	"encoding/json"
	"time"

	formats "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"
)

// memory keeps a tree's hashes as x/mod's tlog stores them.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		found[at] = m[index]
	}
	return found, nil
}

// makeLog answers {"name", "entries"} with a log of x/mod's own: its verifier key, a tlog-proof of formats for each entry
// at the end, and roots and consistency proofs from every smaller size.
func makeLog(line []byte) (any, error) {
	var wanted struct {
		Name    string
		Entries []string
	}
	if err := json.Unmarshal(line, &wanted); err != nil {
		return nil, err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, wanted.Name)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	size := int64(len(wanted.Entries))
	var tree memory
	var roots, proofs []string
	var steps [][]string
	for at, entry := range wanted.Entries {
		hashes, err := tlog.StoredHashes(int64(at), []byte(entry), tree)
		if err != nil {
			return nil, err
		}
		tree = append(tree, hashes...)
		root, err := tlog.TreeHash(int64(at)+1, tree)
		if err != nil {
			return nil, err
		}
		roots = append(roots, root.String())
	}
	last, err := tlog.ParseHash(roots[size-1])
	if err != nil {
		return nil, err
	}
	text := formats.Checkpoint{Origin: wanted.Name, Size: uint64(size), Hash: last[:]}.Marshal()
	checkpoint, err := note.Sign(&note.Note{Text: string(text)}, signer)
	if err != nil {
		return nil, err
	}
	for at := range wanted.Entries {
		path, err := tlog.ProveRecord(size, int64(at), tree)
		if err != nil {
			return nil, err
		}
		shown := proof.TLogProof{Index: uint64(at), Checkpoint: checkpoint}
		for _, one := range path {
			shown.Hashes = append(shown.Hashes, one)
		}
		proofs = append(proofs, string(shown.Marshal()))
		step, err := tlog.ProveTree(size, int64(at)+1, tree)
		if err != nil {
			return nil, err
		}
		var written []string
		for _, one := range step {
			written = append(written, one.String())
		}
		steps = append(steps, written)
	}
	return map[string]any{"key": vkey, "proofs": proofs, "roots": roots, "steps": steps}, nil
}

// makeLight answers {"powers", "silent", "chain_id"} with a light block of CometBFT's own making, in its RPC's JSON.
func makeLight(line []byte) (any, error) {
	var wanted struct {
		Powers []int64
		Silent []int32
		Chain  string `json:"chain_id"`
	}
	if err := json.Unmarshal(line, &wanted); err != nil {
		return nil, err
	}
	var members []*types.Validator
	keys := map[string]types.PrivValidator{}
	for _, power := range wanted.Powers {
		key := types.NewMockPV()
		public, err := key.GetPubKey()
		if err != nil {
			return nil, err
		}
		members = append(members, types.NewValidator(public, power))
		keys[public.Address().String()] = key
	}
	set := types.NewValidatorSet(members)
	hash := func(text string) []byte { sum := tlog.RecordHash([]byte(text)); return sum[:] }
	header := &types.Header{
		Version: cmtversion.Consensus{Block: 11}, ChainID: wanted.Chain, Height: 7, Time: time.Now().UTC(),
		LastBlockID:    types.BlockID{Hash: hash("last"), PartSetHeader: types.PartSetHeader{Total: 3, Hash: hash("parts")}},
		LastCommitHash: hash("commit"), DataHash: hash("data"), ValidatorsHash: set.Hash(), NextValidatorsHash: set.Hash(),
		ConsensusHash: hash("consensus"), AppHash: hash("app"), LastResultsHash: hash("results"), EvidenceHash: hash("evidence"),
		ProposerAddress: set.Validators[0].Address,
	}
	id := types.BlockID{Hash: header.Hash(), PartSetHeader: types.PartSetHeader{Total: 1, Hash: hash("own parts")}}
	votes := types.NewVoteSet(wanted.Chain, header.Height, 1, cmtproto.PrecommitType, set)
	for at, member := range set.Validators {
		index := int32(at)
		if contains(wanted.Silent, index) {
			continue
		}
		vote, err := types.MakeVote(keys[member.Address.String()], wanted.Chain, index, header.Height, 1,
			cmtproto.PrecommitType, id, header.Time.Add(time.Duration(at)*time.Second))
		if err != nil {
			return nil, err
		}
		vote.ExtensionSignature = nil
		if _, err := votes.AddVote(vote); err != nil {
			return nil, err
		}
	}
	commit := votes.MakeExtendedCommit(types.ABCIParams{}).ToCommit()
	written, err := cmtjson.Marshal(lightBlock{&types.SignedHeader{Header: header, Commit: commit}, set.Validators})
	return json.RawMessage(written), err
}

func contains(list []int32, one int32) bool {
	for _, other := range list {
		if other == one {
			return true
		}
	}
	return false
}
