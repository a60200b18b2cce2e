package image

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// folders are where the dynamic linker of a machine looks without any configuration, which an image does not have.
var folders = map[elf.Machine][]string{
	elf.EM_X86_64:  {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"},
	elf.EM_AARCH64: {"/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"},
}

// Libraries are the files that a program of this machine is loaded with, in alphabetical order: its dynamic linker and
// every shared library, also those of libraries. A static program has none.
func Libraries(program string) ([]string, error) {
	found := map[string]bool{}
	if err := collect(program, found); err != nil {
		return nil, fmt.Errorf("libraries of %s: %w", program, err)
	}
	var files []string
	for file := range found {
		files = append(files, file)
	}
	slices.Sort(files)
	return files, nil
}

func collect(program string, found map[string]bool) error {
	file, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, part.Filesz)
		if _, err := part.ReadAt(name, 0); err != nil {
			return err
		}
		found[string(name[:max(len(name)-1, 0)])] = true
	}
	names, err := file.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, name := range names {
		library, err := locate(name, folders[file.Machine])
		if err != nil {
			return err
		}
		if found[library] || isLinker(library, found) {
			continue
		}
		found[library] = true
		if err := collect(library, found); err != nil {
			return err
		}
	}
	return nil
}

// isLinker tells whether a library is the dynamic linker under its other name; loading it twice would be no good.
func isLinker(library string, found map[string]bool) bool {
	real, err := filepath.EvalSymlinks(library)
	if err != nil {
		return false
	}
	for other := range found {
		same, err := filepath.EvalSymlinks(other)
		if err == nil && same == real && filepath.Base(other) == filepath.Base(library) {
			return true
		}
	}
	return false
}

func locate(name string, folders []string) (string, error) {
	for _, folder := range folders {
		candidate := filepath.Join(folder, name)
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%s is in none of %v", name, folders)
}
