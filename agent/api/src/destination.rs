//! Where an Application is delivered to.

api_struct! {
    /// A cluster, by address or by name, and a namespace in it.
    pub struct ApplicationDestination {
        optional {
            /// Address of the cluster's API.
            server: String,
            /// Namespace of objects that name none.
            namespace: String,
            /// Name of the cluster, instead of its address.
            name: String,
        }
    }
}
