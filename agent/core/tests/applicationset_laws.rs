//! Laws of generating that hold for every set: it is a function of what is known and of no order, matrix and
//! merge are what their names say, and nothing that is not known makes a result smaller.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::collections::BTreeMap;

use gitops_core::applicationset::{
    Answers, Cluster, Environment, Generation, Need, Param, ParamMap, SetSpec, Unmet, generate,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Keys of two lists that share none.
const LEFT: [&str; 3] = ["a", "b", "c"];
const RIGHT: [&str; 3] = ["x", "y", "z"];

fn set(go: bool, generators: &[Value]) -> SetSpec {
    SetSpec::read(&json!({
        "goTemplate": go,
        "generators": generators,
        "template": {
            "metadata": {"name": "one"},
            "spec": {"project": "default", "destination": {"name": "in-cluster"}},
        },
    }))
}

fn run(go: bool, generator: &Value, environment: &Environment) -> Generation {
    let generators = std::slice::from_ref(generator);
    generate(&set(go, generators), environment, &Answers::default())
}

/// The sets of parameters a generator gives, in their order.
fn sets(go: bool, generator: &Value) -> Vec<ParamMap> {
    match run(go, generator, &Environment::default()) {
        Generation::Done { applications, .. } => {
            let parameters = applications.into_iter().map(|one| one.parameters);
            parameters.collect()
        }
        other => panic!("{generator}: {other:?}"),
    }
}

fn sorted(mut sets: Vec<ParamMap>) -> Vec<ParamMap> {
    sets.sort();
    sets
}

fn list(elements: &[Value]) -> Value {
    json!({"list": {"elements": elements}})
}

fn matrix(first: &Value, second: &Value) -> Value {
    json!({"matrix": {"generators": [first, second]}})
}

fn merge(children: &[Value]) -> Value {
    json!({"merge": {"mergeKeys": ["id"], "generators": children}})
}

/// The elements with a number of their own each, by which they are merged.
fn numbered(elements: &[Value]) -> Vec<Value> {
    let numbered = elements.iter().enumerate().map(|(number, element)| {
        let mut element = element.as_object().unwrap().clone();
        element.insert("id".into(), json!(format!("n{number}")));
        Value::Object(element)
    });
    numbered.collect()
}

/// The same element, its keys written the other way round.
fn turned(element: &Value) -> Value {
    let map = element.as_object().unwrap();
    let keys: Vec<&String> = map.keys().collect();
    let entries = keys.into_iter().rev();
    let entries = entries.map(|key| (key.clone(), map[key].clone()));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// Values; without goTemplate every parameter is a text.
fn value(go: bool) -> BoxedStrategy<Value> {
    let text = "[a-z0-9.-]{0,6}".prop_map(Value::from);
    if !go {
        return text.boxed();
    }
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        text,
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[m-p]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}

fn elements(go: bool, keys: [&'static str; 3]) -> impl Strategy<Value = Vec<Value>> {
    let key = prop::sample::select(keys.to_vec()).prop_map(str::to_owned);
    let element = prop::collection::btree_map(key, value(go), 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect()));
    prop::collection::vec(element, 0..5)
}

/// Both languages, and two lists that share no key.
fn two_lists() -> impl Strategy<Value = (bool, Vec<Value>, Vec<Value>)> {
    any::<bool>().prop_flat_map(|go| (Just(go), elements(go, LEFT), elements(go, RIGHT)))
}

/// Two lists whose keys may be the same.
fn overlapping_lists() -> impl Strategy<Value = (bool, Vec<Value>, Vec<Value>)> {
    any::<bool>().prop_flat_map(|go| (Just(go), elements(go, LEFT), elements(go, LEFT)))
}

fn clusters() -> impl Strategy<Value = Vec<Cluster>> {
    let names = prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,3}", 0..6);
    names.prop_map(|names: BTreeMap<String, String>| {
        let clusters = names.into_iter().map(|(name, label)| Cluster {
            secret: format!("secret-{name}"),
            server: format!("https://{name}.example.com"),
            labels: BTreeMap::from([("env".to_owned(), label)]),
            name,
            ..Cluster::default()
        });
        clusters.collect()
    })
}

proptest! {
    #[test]
    fn the_same_question_has_the_same_answer((go, first, second) in two_lists()) {
        let generator = matrix(&list(&first), &list(&second));
        let environment = Environment::default();
        prop_assert_eq!(run(go, &generator, &environment), run(go, &generator, &environment));
    }

    #[test]
    fn the_order_of_cluster_secrets_and_of_keys_changes_nothing(
        go in any::<bool>(),
        (ordered, shuffled) in clusters()
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        elements in elements(false, LEFT),
    ) {
        let of = |clusters: &[Cluster]| Environment {
            clusters: clusters.to_vec(),
            ..Environment::default()
        };
        let turned: Vec<Value> = elements.iter().map(turned).collect();
        let all = json!({"clusters": {}});
        let one = run(go, &matrix(&all, &list(&elements)), &of(&ordered));
        let other = run(go, &matrix(&all, &list(&turned)), &of(&shuffled));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn a_list_gives_each_element_once_whatever_its_order(
        (go, ordered, shuffled) in any::<bool>().prop_flat_map(|go| {
            elements(go, LEFT).prop_flat_map(move |all| {
                (Just(go), Just(all.clone()), Just(all).prop_shuffle())
            })
        }),
    ) {
        let one = sets(go, &list(&ordered));
        prop_assert_eq!(one.len(), ordered.len());
        prop_assert_eq!(sorted(one), sorted(sets(go, &list(&shuffled))));
    }

    #[test]
    fn numbers_come_out_as_they_were_written(signed in any::<i64>(), unsigned in any::<u64>()) {
        let generator = list(&[json!({"signed": signed, "unsigned": unsigned})]);
        let expected = ParamMap::from([
            ("signed".to_owned(), Param::Number(signed.to_string())),
            ("unsigned".to_owned(), Param::Number(unsigned.to_string())),
        ]);
        prop_assert_eq!(sets(true, &generator), vec![expected]);
    }

    #[test]
    fn a_matrix_is_each_with_each((go, first, second) in two_lists()) {
        let (lefts, rights) = (sets(go, &list(&first)), sets(go, &list(&second)));
        let mut expected = Vec::new();
        for left in &lefts {
            for right in &rights {
                let mut row = left.clone();
                row.extend(right.clone());
                expected.push(row);
            }
        }
        prop_assert_eq!(&sets(go, &matrix(&list(&first), &list(&second))), &expected);
        let swapped = sets(go, &matrix(&list(&second), &list(&first)));
        prop_assert_eq!(sorted(swapped), sorted(expected));
    }

    #[test]
    fn an_element_without_parameters_is_neutral_in_a_matrix((go, first, _) in two_lists()) {
        let neutral = list(&[json!({})]);
        let alone = sets(go, &list(&first));
        prop_assert_eq!(&sets(go, &matrix(&list(&first), &neutral)), &alone);
        prop_assert_eq!(&sets(go, &matrix(&neutral, &list(&first))), &alone);
    }

    #[test]
    fn of_a_key_both_have_the_first_of_a_matrix_wins_or_it_is_an_error(
        (go, first, second) in overlapping_lists(),
    ) {
        match run(go, &matrix(&list(&first), &list(&second)), &Environment::default()) {
            Generation::Done { applications, .. } => {
                let lefts = sets(go, &list(&first));
                prop_assert_eq!(applications.len(), first.len() * second.len());
                for (number, one) in applications.iter().enumerate() {
                    for (key, value) in &lefts[number / second.len()] {
                        let row = &one.parameters[key];
                        let are_merged = matches!((value, row), (Param::Map(_), Param::Map(_)));
                        prop_assert!(are_merged || row == value, "{key}: {row:?}, not {value:?}");
                    }
                }
            }
            Generation::Failed(_) => prop_assert!(!go),
            Generation::Needs(needs) => prop_assert!(false, "nothing has to be asked: {needs:?}"),
        }
    }

    #[test]
    fn a_merge_neither_adds_nor_removes_sets((go, first, second) in overlapping_lists()) {
        let (base, over) = (numbered(&first), numbered(&second));
        let merged = sets(go, &merge(&[list(&base), list(&over)]));
        let ids = |sets: &[ParamMap]| -> Vec<Param> {
            sets.iter().map(|set| set["id"].clone()).collect()
        };
        prop_assert_eq!(ids(&merged), ids(&sets(go, &list(&base))));
        for (set, over) in merged.iter().zip(sets(go, &list(&over))) {
            for (key, value) in &over {
                let are_merged = matches!((value, &set[key]), (Param::Map(_), Param::Map(_)));
                prop_assert!(are_merged || set[key] == *value, "the later one wins: {key}");
            }
        }
    }

    #[test]
    fn a_merge_with_itself_or_with_nothing_changes_nothing((go, first, _) in two_lists()) {
        let base = list(&numbered(&first));
        let alone = sets(go, &base);
        prop_assert_eq!(&sets(go, &merge(&[base.clone(), base.clone()])), &alone);
        prop_assert_eq!(&sets(go, &merge(&[base.clone(), list(&[])])), &alone);
    }

    #[test]
    fn the_order_in_which_keys_nobody_shares_are_merged_does_not_matter(
        (go, first, second, shuffled) in two_lists().prop_flat_map(|(go, first, second)| {
            let (first, second) = (numbered(&first), numbered(&second));
            (Just(go), Just(first), Just(second.clone()), Just(second).prop_shuffle())
        }),
    ) {
        let ids: Vec<Value> = vec![json!({}); first.len().max(second.len())];
        let base = list(&numbered(&ids));
        let (one, other) = (list(&first), list(&second));
        let expected = sets(go, &merge(&[base.clone(), one.clone(), other.clone()]));
        prop_assert_eq!(&sets(go, &merge(&[base.clone(), other, one.clone()])), &expected);
        prop_assert_eq!(&sets(go, &merge(&[base, one, list(&shuffled)])), &expected);
    }

    #[test]
    fn what_is_not_known_generates_nothing_instead_of_less(
        (go, first, _) in two_lists(),
        before in any::<bool>(),
        is_temporary in any::<bool>(),
        nested in any::<bool>(),
    ) {
        let git = json!({"git": {
            "repoURL": "https://git.example.com/config.git",
            "revision": "main",
            "directories": [{"path": "*"}],
        }});
        let known = list(&first);
        let git = if nested { matrix(&git, &list(&[json!({})])) } else { git };
        let generators = if before { [git, known] } else { [known, git] };
        let set = set(go, &generators);
        let environment = Environment::default();
        let needs = match generate(&set, &environment, &Answers::default()) {
            Generation::Needs(needs) => needs,
            other => panic!("it cannot be known: {other:?}"),
        };
        prop_assert!(matches!(&needs[..], [Need::Tree(_)]), "{needs:?}");
        let refused = |need: Need| {
            let unmet = Unmet { is_temporary, ..Unmet::permanent("the server answers 403") };
            (need, Err(unmet))
        };
        let answers: Answers = needs.into_iter().map(refused).collect();
        match generate(&set, &environment, &answers) {
            Generation::Failed(problems) => {
                prop_assert_eq!(problems.len(), 1);
                prop_assert_eq!(problems[0].is_temporary, is_temporary);
                prop_assert!(problems[0].to_string().contains("403"), "{}", problems[0]);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
