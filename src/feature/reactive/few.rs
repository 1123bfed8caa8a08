//! A list of numbers that usually has one element, which then takes no memory of its own.

/// A list; two words, whatever it holds.
#[derive(Clone, Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    /// Two elements or more.
    #[allow(clippy::box_collection, reason = "a vector by itself would take three words of every list")]
    Many(Box<Vec<T>>),
}

impl<T: Copy> Few<T> {
    pub fn as_slice(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        }
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(one) => std::slice::from_mut(one),
            Few::Many(many) => many,
        }
    }

    /// Adds an element at the end; its place.
    pub fn push(&mut self, element: T) -> u32 {
        match self {
            Few::None => *self = Few::One(element),
            Few::One(one) => *self = Few::Many(Box::new(vec![*one, element])),
            Few::Many(many) => many.push(element),
        }
        self.as_slice().len() as u32 - 1
    }

    /// Takes out the element at a place, to which the last one moves.
    pub fn swap_remove(&mut self, place: u32) {
        match self {
            Few::None => {}
            Few::One(_) => *self = Few::None,
            Few::Many(many) => {
                many.swap_remove(place as usize);
                if let [one] = ***many {
                    *self = Few::One(one);
                } else if many.len() < many.capacity() / 4 {
                    many.shrink_to(2 * many.len());
                }
            }
        }
    }
}

impl<T: Copy> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Few<T> {
        let mut few = Few::None;
        elements.into_iter().for_each(|element| _ = few.push(element));
        few
    }
}
