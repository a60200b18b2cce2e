//! Every input of the corpus passes; those that once failed are among them.

use gitops_fuzz::TARGETS;

#[test]
fn every_input_of_the_corpus_passes() {
    for target in TARGETS {
        let corpus = target.corpus().unwrap();
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        for (path, input) in corpus {
            let run = std::panic::catch_unwind(|| target.run(&input));
            assert!(run.is_ok(), "{}", path.display());
        }
    }
}
